//go:build interop

package cmd_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"mqt/cmd"
)

// runsBench runs mqt bench in this process.
func runsBench(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cmd.Main(t.Context(), append([]string{"bench"}, args...), cmd.Stdio{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	if code == 1 || code == 2 {
		t.Fatalf("mqt bench %s: exit code %d, %s", strings.Join(args, " "), code, stderr.String())
	}
	return stdout.String(), code
}

// TestInteropBenchPage opens the HTML report in Chromium, wide and narrow: it
// says nothing on the console, and asks for nothing but itself.
func TestInteropBenchPage(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "result.html")
	runsBench(t, "--clients", "20", "-q", "0,1,2", "--rate", "600", "--duration", "3s", "--warmup", "500ms", "--threshold", "e2e.p99 < 1us", "-o", "html="+file)
	for _, width := range []string{"390", "1280"} {
		var mu sync.Mutex
		var asked []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, r.URL.Path)
			mu.Unlock()
			http.ServeFile(w, r, file)
		}))
		home := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
			"--disable-background-networking", "--no-proxy-server", "--hide-scrollbars", "--enable-logging=stderr", "--user-data-dir="+home,
			"--window-size="+width+",1200", "--screenshot="+filepath.Join(dir, width+".png"), server.URL+"/result.html")
		c.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
		c.WaitDelay = 10 * time.Second
		said, err := c.CombinedOutput()
		cancel()
		server.Close()
		if err != nil {
			t.Fatalf("%v\n%s", err, lastBytes(said))
		}
		for line := range strings.Lines(string(said)) {
			if strings.Contains(line, "CONSOLE") {
				t.Errorf("%s wide: %s", width, line)
			}
		}
		if len(asked) != 1 || asked[0] != "/result.html" {
			t.Errorf("%s wide: it asked for %q", width, asked)
		}
		if shot, err := os.Stat(filepath.Join(dir, width+".png")); err != nil || shot.Size() < 10_000 {
			t.Errorf("%s wide: no picture: %v", width, err)
		}
	}
}

// TestInteropBenchJob reads the manifest of bench k8s with the types of
// Kubernetes, which know no other fields.
func TestInteropBenchJob(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.yaml")
	const scenario = "version: 1\nname: A Name, with Everything!\nbroker: { url: mqtt://broker }\ngroups:\n  p: { role: pub, clients: 9, topic: \"a/${i}\", rate: 9 }\nphases:\n  - { do: connect }\n"
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := runsBench(t, "k8s", file, "--workers", "7", "--run-id", "r1", "--image", "registry.example/mqt:1", "--set", "groups.p.clients=14")
	config, manifest, ok := strings.Cut(out, "---\n")
	if !ok {
		t.Fatalf("one document:\n%s", out)
	}
	var c corev1.ConfigMap
	var j batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(config), &c); err != nil {
		t.Error(err)
	}
	if err := yaml.UnmarshalStrict([]byte(manifest), &j); err != nil {
		t.Fatal(err)
	}
	pod := j.Spec.Template.Spec
	if c.Data["scenario.yaml"] != scenario || c.Name != "mqt-bench-a-name-with-everything-r1" || j.Name != c.Name || pod.Volumes[0].ConfigMap.Name != c.Name {
		t.Errorf("%+v\n%+v", c, j)
	}
	if *j.Spec.Completions != 7 || *j.Spec.Parallelism != 7 || *j.Spec.CompletionMode != batchv1.IndexedCompletion || *j.Spec.BackoffLimitPerIndex != 0 ||
		pod.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("%+v", j.Spec)
	}
	if args := strings.Join(pod.Containers[0].Args, " "); args != "bench run /scenario/scenario.yaml --shard $(JOB_COMPLETION_INDEX)/7 --run-id r1 --json --quiet --set groups.p.clients=14" {
		t.Errorf("args %s", args)
	}
	if q := pod.Containers[0].Resources.Requests.Cpu(); q.String() != "1" {
		t.Errorf("cpu %s", q)
	}
}
