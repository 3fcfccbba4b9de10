package helm

import (
	"bufio"
	"fmt"
	"regexp"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/scheme"
)

func bufferedReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// decoder knows Kubernetes's types and the Prometheus operator's, and takes no field that
// they have not, nor one twice. Those types are what the API server itself decodes into.
var decoder = func() runtime.Decoder {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, monitoring.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{Yaml: true, Strict: true})
}()

// object decodes a document as the API server does, and checks what every object has.
func object(document string) (runtime.Object, *schema.GroupVersionKind, error) {
	o, kind, err := decoder.Decode([]byte(document), nil, nil)
	if err != nil {
		return nil, nil, err
	}
	meta, ok := o.(metav1.Object)
	if !ok {
		return nil, nil, fmt.Errorf("%s has no metadata", kind.Kind)
	}
	if meta.GetNamespace() != namespace {
		return nil, nil, fmt.Errorf("%s %s is in namespace %q, want the release's", kind.Kind, meta.GetName(), meta.GetNamespace())
	}
	if faults := validation.IsDNS1035Label(meta.GetName()); len(faults) > 0 {
		return nil, nil, fmt.Errorf("%s %s: %s", kind.Kind, meta.GetName(), faults[0])
	}
	for key, value := range meta.GetLabels() {
		if faults := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(faults) > 0 {
			return nil, nil, fmt.Errorf("%s %s: label %s=%s: %s", kind.Kind, meta.GetName(), key, value, faults[0])
		}
	}
	return o, kind, required(document, kind)
}

// find returns the objects of a type.
func find[T runtime.Object](t *testing.T, r release) (all []T) {
	t.Helper()
	for _, document := range r.objects {
		o, _, err := object(document)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if o, ok := o.(T); ok {
			all = append(all, o)
		}
	}
	return all
}

// one returns the only object of a type.
func one[T runtime.Object](t *testing.T, r release) T {
	t.Helper()
	all := find[T](t, r)
	if len(all) != 1 {
		t.Fatalf("got %d objects of the type %T, want 1", len(all), all)
	}
	return all[0]
}

func TestObjectsAreValid(t *testing.T) {
	eachSet(t, func(t *testing.T, _ string, r release) {
		for _, document := range r.objects {
			if _, _, err := object(document); err != nil {
				t.Errorf("%v in\n%s", err, document)
			}
		}
	})
}

// TestFaultsAreFound breaks what is rendered, and wants to be told.
func TestFaultsAreFound(t *testing.T) {
	r, err := render(load(t, chartDir), sets(t)["production"])
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(r.objects, "\n---\n")
	for _, fault := range []struct{ name, from, to, want string }{
		{"misspelt in a pod", "readOnlyRootFilesystem:", "readOnlyRootFileSystem:", `unknown field "spec.template.spec.containers[0].securityContext.readOnlyRootFileSystem"`},
		{"misspelt in a spec", "minReadySeconds:", "minReadySecond:", `unknown field "spec.minReadySecond"`},
		{"misspelt in an autoscaler", "averageUtilization:", "averageUtilisation:", `unknown field "spec.metrics[0].resource.target.averageUtilisation"`},
		{"misspelt in a custom resource", "scrapeTimeout:", "scrape_timeout:", `unknown field "spec.endpoints[0].scrape_timeout"`},
		{"given twice", "minReadySeconds: 5", "minReadySeconds: 5\n  minReadySeconds: 6", `key "minReadySeconds" already set`},
		{"text for a number", "minReadySeconds: 5", "minReadySeconds: five", "cannot unmarshal string"},
		{"a kind that is not there", "kind: PodDisruptionBudget", "kind: PodDisruptionBudgets", `no kind "PodDisruptionBudgets"`},
		{"a version that is gone", "apiVersion: autoscaling/v2", "apiVersion: autoscaling/v2beta2", `no kind "HorizontalPodAutoscaler"`},
		{"no name", "name: respgate-alerts\n", "generation: 1\n", "PrometheusRule : a DNS-1035 label"},
		{"left out in a Deployment", "  selector:\n    matchLabels:\n      app.kubernetes.io/name: respgate\n      app.kubernetes.io/instance: respgate\n      app.kubernetes.io/component: proxy\n  template:", "  template:", "at '/spec': missing property 'selector'"},
		{"left out in a port", "containerPort: 6380", "hostPort: 6380", "missing property 'containerPort'"},
		{"left out in an autoscaler", "maxReplicas: 20", "", "missing property 'maxReplicas'"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			if !strings.Contains(all, fault.from) {
				t.Fatalf("nothing rendered has %q", fault.from)
			}
			var told []string
			for document := range strings.SplitSeq(strings.Replace(all, fault.from, fault.to, 1), "\n---\n") {
				if _, _, err := object(document); err != nil {
					told = append(told, err.Error())
				}
			}
			if len(told) != 1 || !strings.Contains(told[0], fault.want) {
				t.Errorf("got %q, want one error with %s", told, fault.want)
			}
		})
	}
}

var spaces = regexp.MustCompile(`\s+`)

// TestRefused has what makes no sense refused, with a sentence that says what to do.
func TestRefused(t *testing.T) {
	c := load(t, chartDir)
	for _, row := range []struct{ name, values, want string }{
		{"several over SQLite", "replicaCount: 2", "replicaCount 2 needs store.driver postgres"},
		{"scaling SQLite", "autoscaling: {enabled: true}", "autoscaling.enabled needs store.driver postgres"},
		{"PostgreSQL without its URL", "store: {driver: postgres}", "store.dsn.existingSecret: store.driver postgres needs"},
		{"PostgreSQL without a sealing key", "store: {driver: postgres, dsn: {existingSecret: x}}", "secretKey.existingSecret: store.driver postgres needs"},
		{"another store", "store: {driver: mysql}", "at '/store/driver': value must be one of 'sqlite', 'postgres'"},
		{"TLS without a certificate", "tls: {enabled: true}", "tls.existingSecret: tls.enabled needs"},
		{"a certificate without TLS", "tls: {existingSecret: x}", "tls.enabled: certificates are given"},
		{"no way in", "service: {plainText: false}", "service.plainText: without it, and without tls.enabled, no client can connect"},
		{"a port of the program's", "config: {listen: 0.0.0.0:1}", "config.listen: the chart sets it; use bindAddress and service.port"},
		{"a secret in a ConfigMap", "config: {http: {admin_token: x}}", "config.http.admin_token: the chart sets it; use adminToken.existingSecret"},
		{"the store in a ConfigMap", "config: {store: {dsn: x}}", "config.store.dsn: the chart sets it; use store.dsn.existingSecret"},
		{"the shared Redis's password in a ConfigMap", "config: {rate_limit: {shared_url: x}}", "config.rate_limit.shared_url: the chart sets it; use sharedLimits.existingSecret"},
		{"a region that is none", "region: EU", "at '/region': 'EU' does not match pattern"},
		{"a duration without a unit", "config: {shutdown: {delay: '5'}}", "at '/config/shutdown/delay': '5' does not match pattern"},
		{"a misspelt value", "replicaCuont: 2", "additional properties 'replicaCuont' not allowed"},
		{"a misspelt value further down", "service: {Port: 2}", "at '/service': additional properties 'Port' not allowed"},
		{"a port that is none", "service: {port: 65536}", "at '/service/port': maximum: got 65,536, want 65,535"},
		{"text for a number", "replicaCount: two", "at '/replicaCount': got string, want integer"},
		{"a digest that is none", "image: {digest: latest}", "at '/image/digest': 'latest' does not match pattern"},
		{"nothing to scale by", "{autoscaling: {enabled: true, targetCPU: 0}, store: {driver: postgres, dsn: {existingSecret: x}}, secretKey: {existingSecret: x}}", "autoscaling: want targetCPU or targetCommandsPerSecond"},
		{"more least than most", "{autoscaling: {enabled: true, minReplicas: 11}, store: {driver: postgres, dsn: {existingSecret: x}}, secretKey: {existingSecret: x}}", "autoscaling.minReplicas: want maxReplicas or less"},
		{"a name that is none", "secretKey: {existingSecret: Has Spaces}", "at '/secretKey/existingSecret'"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := render(c, values(t, row.values))
			if err == nil || !strings.Contains(spaces.ReplaceAllString(err.Error(), " "), row.want) {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}
