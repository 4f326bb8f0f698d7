//go:build unix

package cmd_test

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// docPipelines are the files of the README that a CI service reads.
func docPipelines() []string { return []string{".github/workflows/mqtt.yml", ".gitlab-ci.yml"} }

// pipelineSteps are the lines that the service would give to a shell.
func pipelineSteps(t *testing.T, name string, text []byte) []string {
	t.Helper()
	var github struct {
		Jobs map[string]struct {
			Steps []struct{ Uses, Run string }
		}
	}
	var gitlab map[string]struct {
		BeforeScript []string `yaml:"before_script"`
		Script       []string
	}
	var steps []string
	if strings.Contains(name, "github") {
		if err := yaml.Unmarshal(text, &github); err != nil {
			t.Fatal(err)
		}
		for _, job := range github.Jobs {
			for _, step := range job.Steps {
				if (step.Run == "") == (step.Uses == "") {
					t.Errorf("%s: a step has either run or uses: %+v", name, step)
				}
				if step.Run != "" {
					steps = append(steps, step.Run)
				}
			}
		}
		return steps
	}
	if err := yaml.Unmarshal(text, &gitlab); err != nil {
		t.Fatal(err)
	}
	for _, job := range gitlab {
		steps = slices.Concat(steps, job.BeforeScript, job.Script)
	}
	return steps
}

// TestDocPipelines runs each line of the README's jobs as the service would: mqt is not there before the line that
// installs it.
func TestDocPipelines(t *testing.T) {
	base := newDocStage(t)
	found := 0
	for _, b := range readmeBlocks(t) {
		if b.lang != "yaml" || !slices.Contains(docPipelines(), b.fileName()) {
			continue
		}
		found++
		t.Run(b.fileName(), func(t *testing.T) {
			t.Parallel()
			text := strings.Join(b.text, "\n") + "\n"
			if n := strings.Count(text, "\n") - 1; n > 11 {
				t.Errorf("it has %d lines, and is called one of ten", n)
			}
			s := &docStage{dir: t.TempDir(), bin: t.TempDir()}
			for from, to := range map[string]string{base.dir: s.dir, base.bin: s.bin} {
				if err := os.CopyFS(to, os.DirFS(from)); err != nil {
					t.Fatal(err)
				}
			}
			archive, summary := filepath.Join(s.dir, "mqt.tar.gz"), filepath.Join(s.dir, "summary.md")
			packMqt(t, archive)
			s.env = []string{"ARCHIVE=" + archive, "GITHUB_STEP_SUMMARY=" + summary, "PATH=" + s.bin + ":" + pathWithoutMqt()}
			steps := pipelineSteps(t, b.fileName(), []byte(text))
			if len(steps) != 3 {
				t.Fatalf("steps %q", steps)
			}
			for i, step := range steps {
				if _, err := os.Stat(filepath.Join(s.bin, "mqt")); (err == nil) != (i > 0) {
					t.Fatalf("mqt before step %d: %v", i+1, err)
				}
				p := s.start(t, s.local(step))
				p.wait(t)
				codes := "0"
				if strings.Contains(step, "mqt bench") {
					codes = measured
				}
				if !oneOf(codes, p.code) {
					t.Fatalf("%s: exit code %d\n%s%s", step, p.code, p.out, p.err)
				}
			}
			for file, want := range map[string]string{summary: "mqt bench", filepath.Join(s.dir, "bench.xml"): "e2e.p99 &lt; 50ms"} {
				if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
					t.Errorf("%s: %v\n%s", file, err, text)
				}
			}
		})
	}
	if found != len(docPipelines()) {
		t.Errorf("%d jobs in the README", found)
	}
}

// pathWithoutMqt is the PATH of the tests, less where they have put mqt.
func pathWithoutMqt() string {
	var rest []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "mqt")); err != nil {
			rest = append(rest, dir)
		}
	}
	return strings.Join(rest, ":")
}

// packMqt makes an archive as a release has it, with a mqt that is this test's.
func packMqt(t *testing.T, path string) {
	t.Helper()
	program, err := exec.LookPath("mqt")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec '" + program + "' \"$@\"\n"
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"LICENSE": "text\n", "mqt": script} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}
