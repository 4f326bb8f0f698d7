//go:build release

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What goreleaser has made in dist/: .ci/release runs it first. Listed are Debian's, Red Hat's and Alpine's packages, the
// archives, the SBOMs and the checksums; the package of this machine is used in package_test.go.

const dist = "dist"

// made returns the one file of dist/ that fits.
func made(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dist, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v; goreleaser makes one", pattern, found, err)
	}
	return found[0]
}

// listed runs a command and returns its lines.
func listed(t *testing.T, name string, args ...string) []string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// pages are the manual pages that the packages have, from the program itself.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(".package/man/*.1")
	if err != nil || len(found) < 8 {
		t.Fatalf("manual pages: %v, %v", found, err)
	}
	for i, name := range found {
		found[i] = filepath.Base(name)
	}
	return found
}

// installed is what a package brings, with the modes.
func installed(t *testing.T, zsh string) map[string]string {
	const file, program = "-rw-r--r--", "-rwxr-xr-x"
	want := map[string]string{
		"usr/bin/mqt":         program,
		"etc/mqt/broker.yaml": file,
		"usr/lib/systemd/system/mqt-broker.service":    file,
		"usr/share/bash-completion/completions/mqt":    file,
		"usr/share/fish/vendor_completions.d/mqt.fish": file,
		"usr/share/zsh/" + zsh + "/_mqt":               file,
		"usr/share/doc/mqt/copyright":                  file,
	}
	for _, page := range pages(t) {
		want["usr/share/man/man1/"+page] = file
	}
	return want
}

// owned is how the listers say that a file is root's: dpkg-deb, bsdtar of a cpio archive, bsdtar of a tar archive.
var owned = regexp.MustCompile(`^\S+ +(root/root|\d+ +0 +0|\d+ +root +root) `)

// TestReleasePackages lists each package with another tool than the one that made it.
func TestReleasePackages(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		for format, zsh := range map[string]string{"deb": "vendor-completions", "rpm": "site-functions", "apk": "site-functions"} {
			t.Run(format+" "+arch, func(t *testing.T) {
				name := made(t, "*_linux_"+arch+"."+format)
				tool, args := "bsdtar", []string{"-tvf", name}
				if format == "deb" {
					tool, args = "dpkg-deb", []string{"-c", name}
				}
				got := make(map[string]string)
				for _, line := range listed(t, tool, args...) {
					f := strings.Fields(line) // mode, links or not, owner and group, bytes, time, name
					file := strings.TrimPrefix(strings.TrimPrefix(f[len(f)-1], "."), "/")
					if f[0][0] == 'd' || strings.HasPrefix(f[len(f)-1], ".") && format == "apk" { // .PKGINFO and scripts
						continue
					}
					got[file] = f[0]
					if !owned.MatchString(line) {
						t.Errorf("%s is not root's: %s", file, line)
					}
				}
				if want := installed(t, zsh); !maps.Equal(got, want) {
					t.Errorf("%s has\n%v, not\n%v", name, got, want)
				}
			})
		}
	}
}

// TestReleaseArchives opens each archive and reads from the program what it was built for.
func TestReleaseArchives(t *testing.T) {
	want := []string{"LICENSE", "README.md", "completions/mqt.bash", "completions/mqt.fish", "completions/mqt.ps1", "completions/mqt.zsh"}
	for _, page := range pages(t) {
		want = append(want, "man/"+page)
	}
	for _, platform := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64", "windows_arm64"} {
		t.Run(platform, func(t *testing.T) {
			program, read := "mqt", tarFiles
			pattern := "*_" + platform + ".tar.gz"
			if strings.HasPrefix(platform, "windows") {
				program, read, pattern = "mqt.exe", zipFiles, "*_"+platform+".zip"
			}
			files := read(t, made(t, pattern))
			names := slices.Sorted(maps.Keys(files))
			if all := slices.Sorted(slices.Values(append(slices.Clone(want), program))); !slices.Equal(names, all) {
				t.Errorf("it has\n%v, not\n%v", names, all)
			}
			for name, f := range files {
				mode := fs.FileMode(0o644)
				if name == program {
					mode = 0o755
				}
				if f.mode.Perm() != mode {
					t.Errorf("%s has the mode %v, not %v", name, f.mode, mode)
				}
			}
			info, err := buildinfo.Read(bytes.NewReader(files[program].content))
			if err != nil {
				t.Fatal(err)
			}
			settings := make(map[string]string)
			for _, s := range info.Settings {
				settings[s.Key] = s.Value
			}
			if got := settings["GOOS"] + "_" + settings["GOARCH"]; got != platform {
				t.Errorf("the program is for %s", got)
			}
			if settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" || settings["vcs.revision"] == "" {
				t.Errorf("it was built with %v", settings)
			}
		})
	}
}

type packed struct {
	mode    fs.FileMode
	content []byte
}

func tarFiles(t *testing.T, name string) map[string]packed {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]packed)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uname != "root" || h.Gname != "root" {
			t.Errorf("%s belongs to %s:%s", h.Name, h.Uname, h.Gname)
		}
		files[path.Clean(h.Name)] = packed{h.FileInfo().Mode(), content}
	}
}

func zipFiles(t *testing.T, name string) map[string]packed {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := make(map[string]packed)
	for _, f := range z.File {
		content, err := fs.ReadFile(z, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = packed{f.Mode(), content}
	}
	return files
}

// TestReleaseSBOM compares each SBOM with what the program says of itself.
func TestReleaseSBOM(t *testing.T) {
	for _, platform := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64", "windows_arm64"} {
		t.Run(platform, func(t *testing.T) {
			raw, err := os.ReadFile(made(t, "*_"+platform+".cdx.json"))
			if err != nil {
				t.Fatal(err)
			}
			var bom struct {
				BOMFormat   string
				SpecVersion string
				Metadata    struct {
					Component struct{ Name, Version, PURL string }
				}
				Components []struct{ Name, Version, PURL string }
			}
			if err := json.Unmarshal(raw, &bom); err != nil {
				t.Fatal(err)
			}
			if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || bom.Metadata.Component.Name != module || bom.Metadata.Component.Version == "" {
				t.Errorf("it begins with %s %s of %v", bom.BOMFormat, bom.SpecVersion, bom.Metadata.Component)
			}
			info, err := buildinfo.ReadFile(made(t, "mqt_"+platform+"_*/mqt*"))
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"std " + info.GoVersion}
			for _, m := range info.Deps {
				want = append(want, m.Path+" "+m.Version)
			}
			var got []string
			for _, c := range bom.Components {
				got = append(got, c.Name+" "+c.Version)
				if !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
					t.Errorf("%s has the URL %q", c.Name, c.PURL)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if len(info.Deps) < 10 || !slices.Equal(got, want) {
				t.Errorf("it lists\n%s\nand the program has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestReleaseChecksums adds up each file that a release publishes.
func TestReleaseChecksums(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(dist, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	said := make(map[string]string)
	for line := range strings.Lines(string(raw)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		said[name] = sum
	}
	files, err := filepath.Glob(filepath.Join(dist, "mqt_*"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // a directory, of goreleaser's own
		}
		found++
		if sum := sha256.Sum256(content); said[filepath.Base(name)] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: checksums.txt says %q", name, said[filepath.Base(name)])
		}
	}
	if found != 6+6+6 || len(said) != found { // archives, SBOMs, packages of Linux
		t.Errorf("%d files, %d checksums; six platforms have an archive and an SBOM each, Linux six packages", found, len(said))
	}
}

// native is the package for this machine.
func native(t *testing.T, format string) string {
	t.Helper()
	return made(t, "*_linux_"+runtime.GOARCH+"."+format)
}
