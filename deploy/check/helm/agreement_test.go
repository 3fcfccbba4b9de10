package helm

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	kyaml "sigs.k8s.io/yaml"
)

// linked are the chart's files that are links to configs/.
var linked = map[string]string{
	"files/alerts.yml":               root + "/configs/prometheus/alerts.yml",
	"files/recording.yml":            root + "/configs/prometheus/recording.yml",
	"files/dashboards/overview.json": root + "/configs/grafana/dashboards/overview.json",
	"files/dashboards/tenant.json":   root + "/configs/grafana/dashboards/tenant.json",
}

func production(t *testing.T) release {
	t.Helper()
	r, err := render(load(t, chartDir), sets(t)["production"])
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func decodeFile(t *testing.T, path string) (v any) {
	t.Helper()
	if err := kyaml.Unmarshal(read(t, path), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRules has Prometheus's rules be those of configs/prometheus, and promtool take them.
func TestRules(t *testing.T) {
	got := map[string]any{}
	dir := t.TempDir()
	for _, document := range production(t).objects {
		o, _, err := object(document)
		if err != nil {
			t.Fatal(err)
		}
		rule, is := o.(*monitoring.PrometheusRule)
		if !is {
			continue
		}
		var whole struct{ Spec any }
		if err := kyaml.Unmarshal([]byte(document), &whole); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(rule.Name, "respgate-") + ".yml"
		got[name] = whole.Spec
		spec, err := kyaml.Marshal(whole.Spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), spec, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"alerts.yml", "recording.yml"} {
		if !reflect.DeepEqual(got[name], decodeFile(t, root+"/configs/prometheus/"+name)) {
			t.Errorf("the PrometheusRule is not configs/prometheus/%s", name)
		}
		out, err := exec.Command("promtool", "check", "rules", filepath.Join(dir, name)).CombinedOutput()
		if err != nil {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	}
	if len(got) != 2 {
		t.Errorf("got rules %v, want alerts and recording", slices.Collect(maps.Keys(got)))
	}
}

// TestDashboards has each of configs/grafana/dashboards be in a ConfigMap that Grafana's
// sidecar finds.
func TestDashboards(t *testing.T) {
	got := map[string]string{}
	for _, m := range find[*core.ConfigMap](t, production(t)) {
		if m.Labels["grafana_dashboard"] != "1" {
			continue
		}
		for name, text := range m.Data {
			got[strings.TrimPrefix(name, "respgate-")] = strings.TrimSpace(text)
		}
	}
	files, _ := filepath.Glob(root + "/configs/grafana/dashboards/*.json")
	want := map[string]string{}
	for _, file := range files {
		want[filepath.Base(file)] = strings.TrimSpace(string(read(t, file)))
	}
	if len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("got dashboards %v, want those of configs/grafana, %v, as they are", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// TestAutoscalerAsksForWhatTheAdapterMakes follows the metric from the program to the
// autoscaler.
func TestAutoscalerAsksForWhatTheAdapterMakes(t *testing.T) {
	const counter = "redis_commands_total"
	if !strings.Contains(string(read(t, root+"/docs/METRICS.md")), "`"+counter+"`") {
		t.Errorf("docs/METRICS.md has no %s", counter)
	}
	var adapter struct {
		Rules struct {
			Custom []struct {
				SeriesQuery, MetricsQuery string
				Name                      struct{ Matches, As string }
				Resources                 struct {
					Overrides map[string]struct{ Resource string }
				}
			}
		}
	}
	if err := kyaml.UnmarshalStrict(read(t, chartDir+"/prometheus-adapter.yaml"), &adapter); err != nil {
		t.Fatal(err)
	}
	rule := adapter.Rules.Custom[0]
	if !strings.HasPrefix(rule.SeriesQuery, counter+"{") || rule.Resources.Overrides["pod"].Resource != "pod" || rule.Resources.Overrides["namespace"].Resource != "namespace" {
		t.Errorf("the adapter's rule is about %s and %v, want %s of pods in namespaces", rule.SeriesQuery, rule.Resources.Overrides, counter)
	}
	made := regexp.MustCompile(rule.Name.Matches).ReplaceAllString(counter, rule.Name.As)
	query := strings.NewReplacer("<<.Series>>", counter, "<<.LabelMatchers>>", `namespace="redis",pod="respgate-0"`, "<<.GroupBy>>", "pod").Replace(rule.MetricsQuery)
	if want := `sum(rate(redis_commands_total{namespace="redis",pod="respgate-0"}[2m])) by (pod)`; query != want {
		t.Errorf("the adapter asks %s, want %s", query, want)
	}
	asked := map[string]string{}
	r := production(t)
	for _, m := range one[*autoscaling.HorizontalPodAutoscaler](t, r).Spec.Metrics {
		switch {
		case m.Pods != nil:
			asked[m.Pods.Metric.Name] = m.Pods.Target.AverageValue.String()
		case m.Resource != nil:
			asked[string(m.Resource.Name)] = fmt.Sprint(*m.Resource.Target.AverageUtilization, " %")
		}
	}
	if want := map[string]string{made: "20k", "cpu": "70 %"}; !maps.Equal(asked, want) {
		t.Errorf("the autoscaler asks for %v, want %v", asked, want)
	}
	if d := one[*apps.Deployment](t, r); d.Spec.Replicas != nil {
		t.Errorf("the Deployment says %d replicas, which undoes what the autoscaler does at each upgrade", *d.Spec.Replicas)
	}
}

// TestPorts has all that names a port name one that the program listens on.
func TestPorts(t *testing.T) {
	eachSet(t, func(t *testing.T, _ string, r release) {
		pod := one[*apps.Deployment](t, r).Spec.Template
		container := pod.Spec.Containers[0]
		listens := map[string]string{"http": environment(container)["RESPGATE_HTTP_LISTEN"], "resp": environment(container)["RESPGATE_LISTEN"]}
		if tls := config(t, r)["tls"]; tls != nil {
			listens["resp-tls"] = fmt.Sprint(tls.(map[string]any)["listen"])
		}
		ports := map[string]bool{}
		for _, p := range container.Ports {
			ports[p.Name] = true
			if want := fmt.Sprintf("0.0.0.0:%d", p.ContainerPort); listens[p.Name] != want || len(validation.IsValidPortName(p.Name)) > 0 {
				t.Errorf("port %s: the program listens on %q, want %s", p.Name, listens[p.Name], want)
			}
		}
		if len(ports) != len(listens) {
			t.Errorf("got ports %v, want those of %v", ports, listens)
		}
		served := map[string]bool{}
		for _, s := range find[*core.Service](t, r) {
			if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
				t.Errorf("Service %s selects no proxy", s.Name)
			}
			for _, p := range s.Spec.Ports {
				served[p.TargetPort.String()] = true
				if !ports[p.TargetPort.String()] {
					t.Errorf("Service %s leads to port %s, which no container has", s.Name, p.TargetPort.String())
				}
			}
		}
		for _, n := range find[*networking.NetworkPolicy](t, r) {
			allowed := map[string]bool{}
			for _, rule := range n.Spec.Ingress {
				for _, p := range rule.Ports {
					allowed[p.Port.String()] = true
				}
			}
			if !maps.Equal(allowed, served) {
				t.Errorf("the NetworkPolicy lets in to %v, want what Services lead to, %v", allowed, served)
			}
			if !selects(t, &n.Spec.PodSelector, pod.Labels) {
				t.Error("the NetworkPolicy is about no proxy")
			}
		}
	})
}

func selects(t *testing.T, selector *metav1.LabelSelector, set map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !s.Empty() && s.Matches(labels.Set(set))
}

// TestSelectors has what is about proxies be about proxies, and nothing be about the test's pod.
func TestSelectors(t *testing.T) {
	eachSet(t, func(t *testing.T, _ string, r release) {
		deployment, test := one[*apps.Deployment](t, r), one[*core.Pod](t, r)
		pod := deployment.Spec.Template
		selectors := map[string]*metav1.LabelSelector{"Deployment": deployment.Spec.Selector}
		for _, b := range find[*policy.PodDisruptionBudget](t, r) {
			selectors["PodDisruptionBudget"] = b.Spec.Selector
		}
		for i, c := range pod.Spec.TopologySpreadConstraints {
			selectors[fmt.Sprint("spread", i)] = c.LabelSelector
		}
		if a := pod.Spec.Affinity; a != nil {
			for _, term := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
				selectors["required"] = term.LabelSelector
			}
			for _, term := range a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
				selectors["preferred"] = term.PodAffinityTerm.LabelSelector
			}
		}
		for of, selector := range selectors {
			if !selects(t, selector, pod.Labels) || selects(t, selector, test.Labels) {
				t.Errorf("%s selects %v, want proxies' labels %v and not %v", of, selector, pod.Labels, test.Labels)
			}
		}
		for _, n := range find[*networking.NetworkPolicy](t, r) {
			from := n.Spec.Ingress[1].From
			if !selects(t, from[len(from)-1].PodSelector, test.Labels) {
				t.Error("the NetworkPolicy keeps helm test's pod out")
			}
		}
		for _, m := range find[*monitoring.ServiceMonitor](t, r) {
			var found []string
			for _, s := range find[*core.Service](t, r) {
				if selects(t, &m.Spec.Selector, s.Labels) {
					found = append(found, s.Name)
				}
			}
			if !slices.Equal(found, []string{"respgate-metrics"}) {
				t.Errorf("the ServiceMonitor finds the Services %v, want respgate-metrics alone", found)
			}
		}
	})
}

// TestGracePeriod has Kubernetes wait for as long as a drain may take.
func TestGracePeriod(t *testing.T) {
	eachSet(t, func(t *testing.T, name string, r release) {
		pod := one[*apps.Deployment](t, r).Spec.Template.Spec
		var needed time.Duration
		if hook := pod.Containers[0].Lifecycle; hook != nil {
			needed = time.Duration(hook.PreStop.Sleep.Seconds) * time.Second
		} else if name != "sqlite" {
			t.Error("there is no preStop hook")
		}
		for _, key := range []string{"delay", "drain_timeout"} {
			d, err := time.ParseDuration(config(t, r)["shutdown"].(map[string]any)[key].(string))
			if err != nil {
				t.Fatal(err)
			}
			needed += d
		}
		if got := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; got < needed+2*time.Second || got > needed+10*time.Second {
			t.Errorf("the grace period is %v, want a little more than %v", got, needed)
		}
	})
}

// TestDurations reads the program's durations as the program does.
func TestDurations(t *testing.T) {
	c := load(t, chartDir)
	for text, want := range map[string]int64{"0": 0, "0s": 0, "1s": 1, "500ms": 1, "1m30s": 90, "1h": 3600, "1.5m": 90, "1h0m0.5s": 3601, "2000ms": 2, "1us": 1} {
		r, err := render(c, values(t, "{preStopSleepSeconds: 0, config: {shutdown: {delay: '"+text+"', drain_timeout: 10s}}}"))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := *one[*apps.Deployment](t, r).Spec.Template.Spec.TerminationGracePeriodSeconds; got != want+15 {
			t.Errorf("shutdown.delay %s: the grace period is %d s, want %d", text, got, want+15)
		}
	}
}

// TestPodsAreConfined has nothing of a pod allow more than it needs.
func TestPodsAreConfined(t *testing.T) {
	eachSet(t, func(t *testing.T, _ string, r release) {
		for _, pod := range []core.PodSpec{one[*apps.Deployment](t, r).Spec.Template.Spec, one[*core.Pod](t, r).Spec} {
			s, c := pod.SecurityContext, pod.Containers[0].SecurityContext
			if !*s.RunAsNonRoot || *s.RunAsUser != 65532 || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
				t.Errorf("the pod's security context is %+v", s)
			}
			if !*c.ReadOnlyRootFilesystem || *c.AllowPrivilegeEscalation || !slices.Equal(c.Capabilities.Drop, []core.Capability{"ALL"}) || len(c.Capabilities.Add) > 0 {
				t.Errorf("the container's security context is %+v", c)
			}
			if *pod.AutomountServiceAccountToken || *pod.EnableServiceLinks || pod.HostNetwork {
				t.Error("the pod has a token, service links or the host's network")
			}
		}
	})
}

// TestImage has the chart agree with the image: which program runs as whom, and that nothing
// which the image has in its environment wins over what the chart says.
func TestImage(t *testing.T) {
	dockerfile := string(read(t, root+"/deploy/Dockerfile"))
	_, last, _ := strings.Cut(dockerfile[strings.LastIndex(dockerfile, "\nFROM "):], "\n")
	for _, line := range []string{`ENTRYPOINT ["/respgate"]`, `CMD ["serve"]`, "USER 65532:65532"} {
		if !strings.Contains(last, line) {
			t.Errorf("deploy/Dockerfile has no %s, which the chart counts on", line)
		}
	}
	set := regexp.MustCompile(`(RESPGATE_[A-Z_]+)=`).FindAllStringSubmatch(last, -1)
	eachSet(t, func(t *testing.T, _ string, r release) {
		container := one[*apps.Deployment](t, r).Spec.Template.Spec.Containers[0]
		if !slices.Equal(container.Command, []string{"/respgate"}) || !slices.Equal(container.Args, []string{"serve"}) {
			t.Errorf("the container runs %v %v, want what the image does", container.Command, container.Args)
		}
		for _, name := range set {
			if _, there := environment(container)[name[1]]; !there {
				t.Errorf("the image sets %s, which would win over respgate.yaml: the chart has to set it too", name[1])
			}
		}
	})
}
