package helm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuide renders what docs/KUBERNETES.md and the chart's README have as values: their yaml
// blocks, each over what the guide calls base.yaml.
func TestGuide(t *testing.T) {
	c := load(t, chartDir)
	fence := regexp.MustCompile("(?ms)^```yaml values=(\\S+)\n(.*?)^```$")
	text := string(read(t, root+"/docs/KUBERNETES.md")) + "\n" + string(read(t, chartReadme))
	blocks := fence.FindAllStringSubmatch(text, -1)
	if len(blocks) < 5 || strings.Count(text, "```yaml values=") != len(blocks) {
		t.Fatalf("got %d blocks of values, want 5 or more", len(blocks))
	}
	base := ""
	for _, block := range blocks {
		if block[1] == "postgres.yaml" {
			base = block[2]
		}
	}
	for _, block := range blocks {
		t.Run(block[1], func(t *testing.T) {
			v := values(t, base)
			for key, value := range values(t, block[2]) {
				v[key] = value
			}
			r, err := render(c, v)
			if err != nil {
				t.Fatal(err)
			}
			for _, document := range r.objects {
				if _, _, err := object(document); err != nil {
					t.Errorf("%v in\n%s", err, document)
				}
			}
			p := newPod(t, r)
			if out, err := p.command("check-config").CombinedOutput(); err != nil {
				t.Errorf("respgate check-config: %v\n%s", err, out)
			}
		})
	}
}

// TestGuideNamesWhatThereIs has the files that the guide names be there.
func TestGuideNamesWhatThereIs(t *testing.T) {
	for _, name := range regexp.MustCompile(`deploy/[A-Za-z/.-]+\w`).FindAllString(string(read(t, root+"/docs/KUBERNETES.md")), -1) {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
}
