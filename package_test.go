//go:build release

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is for a machine that is busy with something else.
const patience = 2 * time.Minute

// unpacked puts the files of the deb below a directory.
func unpacked(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	listed(t, "dpkg-deb", "-x", native(t, "deb"), root)
	return root
}

// silent runs a command that shall have nothing to say.
func silent(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// TestReleaseVersion asks the packaged program which commit it is.
func TestReleaseVersion(t *testing.T) {
	root := unpacked(t)
	commit := listed(t, "git", "rev-parse", "--short=12", "HEAD")[0]
	out := strings.Join(listed(t, filepath.Join(root, "usr/bin/mqt"), "--version"), "\n")
	tags := listed(t, "git", "tag", "--points-at", "HEAD")
	known := strings.Contains(out, commit) || slices.ContainsFunc(tags, func(tag string) bool { return tag != "" && strings.Contains(out, tag) })
	if !strings.HasPrefix(out, "mqt v") || !known {
		t.Errorf("--version says %q of commit %s", out, commit)
	}
}

// TestReleaseManual sets each page as man does, with all of groff's warnings.
func TestReleaseManual(t *testing.T) {
	root := unpacked(t)
	for _, page := range pages(t) {
		silent(t, "groff", "-t", "-man", "-Tutf8", "-ww", "-b", "-z", filepath.Join(root, "usr/share/man/man1", page))
	}
}

// TestReleaseShells loads the packaged completions where the shells look for them.
func TestReleaseShells(t *testing.T) {
	share := filepath.Join(unpacked(t), "usr/share")
	for shell, row := range map[string]struct {
		script, want string
		flags        []string
	}{
		"bash": {`source "$1/bash-completion/completions/mqt" && complete -p mqt`, "mqt", []string{"--norc"}},
		"zsh": {`fpath=("$1/zsh/vendor-completions" $fpath); autoload -U compinit; compinit -u -D; print -- $_comps[mqt]`,
			"_mqt", []string{"-f"}},
		"fish": {`source "$argv[1]/fish/vendor_completions.d/mqt.fish"; complete -C "mqt pu"`, "pub", []string{"--no-config"}},
	} {
		t.Run(shell, func(t *testing.T) {
			args := append(row.flags, "-c", row.script)
			if shell != "fish" { // whose first argument is the first
				args = append(args, shell)
			}
			cmd := exec.Command(shell, append(args, share)...)
			cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), row.want) {
				t.Errorf("%v: %q, not %q", err, out, row.want)
			}
		})
	}
}

const unit = "usr/lib/systemd/system/mqt-broker.service"

// inRoot is the packaged file with the paths of the unpacked root.
func inRoot(t *testing.T, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(" /etc/", " "+root+"/etc/", "=/usr/bin/", "="+root+"/usr/bin/", " /var/lib/", " "+root+"/var/lib/").Replace(string(text))
}

// TestReleaseUnit lets systemd read the service: every directive is known, every program is there, and little of the machine is
// exposed (of 10; an unhardened service has 9.6).
func TestReleaseUnit(t *testing.T) {
	root := unpacked(t)
	moved := filepath.Join(t.TempDir(), filepath.Base(unit))
	if err := os.WriteFile(moved, []byte(inRoot(t, root, unit)), 0o600); err != nil {
		t.Fatal(err)
	}
	silent(t, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", moved)
	listed(t, "systemd-analyze", "security", "--offline=true", "--root="+root, "--threshold=17", filepath.Base(unit))
}

// service is the broker of the package, run as its unit says.
type service struct {
	*exec.Cmd
	said chan string // what it tells the service manager
	log  bytes.Buffer
}

// start runs the unit's ExecStart, and is its service manager.
func start(t *testing.T, root string) *service {
	t.Helper()
	var line []string
	for l := range strings.Lines(inRoot(t, root, unit)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), "ExecStart="); ok {
			line = strings.Fields(rest)
		}
	}
	if len(line) < 2 {
		t.Fatal("the unit starts nothing")
	}
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(root, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	s := &service{Cmd: exec.Command(line[0], line[1:]...), said: make(chan string, 100)}
	s.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(root, "notify"), "WATCHDOG_USEC=2000000")
	s.Dir, s.Stdout, s.Stderr = filepath.Join(root, "var/lib/mqt"), &s.log, &s.log
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	go func() {
		for p := make([]byte, 4096); ; {
			n, err := manager.Read(p)
			if err != nil {
				return
			}
			for l := range strings.Lines(string(p[:n])) {
				s.said <- strings.TrimSpace(l)
			}
		}
	}()
	return s
}

// wait returns when the service has said it.
func (s *service) wait(t *testing.T, what string) {
	t.Helper()
	for end := time.After(patience); ; {
		select {
		case said := <-s.said:
			if said == what {
				return
			}
		case <-end:
			_ = s.Process.Kill()
			_ = s.Wait() // nothing more is logged
			t.Fatalf("the service never said %s:\n%s", what, &s.log)
		}
	}
}

// TestReleaseService runs the packaged broker on the packaged file: it is ready, serves, pets the watchdog, reads its file
// again, stops, and knows its retained messages when it is there again.
func TestReleaseService(t *testing.T) {
	root := unpacked(t)
	url := onFreePort(t, root)
	mqt := func(args ...string) string {
		t.Helper()
		return strings.Join(listed(t, filepath.Join(root, "usr/bin/mqt"), append(args, "-L", url)...), "\n")
	}
	listed(t, filepath.Join(root, "usr/bin/mqt"), "broker", "--config", filepath.Join(root, "etc/mqt/broker.yaml"), "--check-config")

	s := start(t, root)
	s.wait(t, "READY=1")
	mqt("pub", "-q", "1", "-r", "-t", "plant/1", "-m", "21.5")
	if got := mqt("sub", "-t", "plant/+", "-C", "1"); got != "21.5" {
		t.Errorf("sub prints %q", got)
	}
	s.wait(t, "WATCHDOG=1")
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.wait(t, "READY=1")
	stop(t, s)

	if err := os.Remove(filepath.Join(root, "notify")); err != nil {
		t.Fatal(err)
	}
	s = start(t, root)
	s.wait(t, "READY=1")
	if got := mqt("sub", "-t", "plant/+", "-C", "1"); got != "21.5" {
		t.Errorf("after a restart sub prints %q", got)
	}
	stop(t, s)
	if mode := modeOf(t, filepath.Join(root, "var/lib/mqt")); mode != "drwx------" {
		t.Errorf("the state has the mode %s", mode)
	}
}

// onFreePort gives the packaged broker.yaml the unpacked root's paths and a port that nobody has, and makes what systemd
// makes by StateDirectory=.
func onFreePort(t *testing.T, root string) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	url := fmt.Sprintf("mqtt://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	text := inRoot(t, root, "etc/mqt/broker.yaml")
	moved := strings.Replace(text, "[mqtt://localhost:1883]", "["+url+"]", 1)
	if moved == text {
		t.Fatalf("broker.yaml listens elsewhere:\n%s", text)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/mqt/broker.yaml"), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "var/lib/mqt"), 0o700); err != nil {
		t.Fatal(err)
	}
	return url
}

func stop(t *testing.T, s *service) {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.wait(t, "STOPPING=1")
	if err := s.Wait(); err != nil {
		t.Errorf("SIGTERM ends it with %v:\n%s", err, &s.log)
	}
}

func modeOf(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().String()
}

// TestReleaseInstall lets dpkg install, upgrade, remove and purge the deb below a root of its own, where the scripts run in
// busybox and systemctl is a script that writes down what it is asked.
func TestReleaseInstall(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"bin", "usr/bin", "run/systemd/system", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/private/mqt"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	box, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"bin/sh": box, "bin/rm": box, "var/lib/dpkg/status": nil,
		"usr/bin/systemctl": []byte("#!/bin/sh\necho \"$@\" >>/systemctl.log\n"),
	} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dpkg := func(args ...string) {
		t.Helper()
		cmd := exec.Command("dpkg", append([]string{"--root=" + root, "--force-not-root", "--log=/dev/null"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dpkg %s: %v\n%s", args, err, out)
		}
	}
	asked := func(want ...string) {
		t.Helper()
		name := filepath.Join(root, "systemctl.log")
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var got []string
		for s := bufio.NewScanner(f); s.Scan(); {
			got = append(got, s.Text())
		}
		if !slices.Equal(got, want) {
			t.Errorf("systemctl was asked %q, not %q", got, want)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	there := func(name string, want bool) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	deb := native(t, "deb")

	dpkg("--install", deb)
	asked("daemon-reload", "try-restart mqt-broker.service")
	there("usr/bin/mqt", true)
	config := filepath.Join(root, "etc/mqt/broker.yaml")
	if err := os.WriteFile(config, []byte("listen: [mqtt://:1884]\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	dpkg("--install", deb) // as an upgrade
	asked("daemon-reload", "try-restart mqt-broker.service")
	if text, err := os.ReadFile(config); err != nil || string(text) != "listen: [mqtt://:1884]\n" {
		t.Errorf("an upgrade makes the administrator's file %q, %v", text, err)
	}

	dpkg("--remove", "mqt")
	asked("disable --now mqt-broker.service", "daemon-reload")
	there("usr/bin/mqt", false)
	there("etc/mqt/broker.yaml", true)
	there("var/lib/private/mqt", true)

	dpkg("--purge", "mqt")
	there("etc/mqt/broker.yaml", false)
	there("var/lib/private/mqt", false)
}
