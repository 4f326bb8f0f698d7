//go:build interop && unix

package cmd_test

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestInteropWorkflow has actionlint read the README's job for GitHub.
func TestInteropWorkflow(t *testing.T) {
	for _, b := range readmeBlocks(t) {
		if b.lang != "yaml" || b.fileName() != docPipelines()[0] {
			continue
		}
		c := exec.Command("actionlint", "-no-color", "-")
		c.Stdin = strings.NewReader(strings.Join(b.text, "\n") + "\n")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	t.Error("the README has no job for GitHub")
}

// reportWidth and reportHeight are of the README's picture of the HTML report.
const reportWidth, reportHeight = 1000, 2140

// TestInteropReportPicture takes the picture of the HTML report of the README's scenario, and holds the one of the README
// to its form. To put a new one there: go test -tags interop ./cmd -run ReportPicture -update
func TestInteropReportPicture(t *testing.T) {
	path := filepath.Join("..", "testdata", "pictures", "report.png")
	update := flag.Lookup("update").Value.String() == "true"
	s := newDocStage(t)
	if update { // as it stands in the README, and not with short phases
		for _, b := range readmeBlocks(t) {
			if b.lang == "yaml" && b.fileName() == "telemetry.yaml" {
				if err := os.WriteFile(filepath.Join(s.dir, "telemetry.yaml"), []byte(strings.Join(b.text, "\n")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	p := s.start(t, "mqt bench run telemetry.yaml -o html=telemetry.html")
	p.wait(t)
	if !oneOf(measured, p.code) {
		t.Fatalf("exit code %d\n%s", p.code, p.err)
	}
	page := httptest.NewServer(http.FileServer(http.Dir(s.dir)))
	defer page.Close()
	shot := screenshot(t, page.URL+"/telemetry.html", reportWidth, reportHeight)
	if update {
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, fewColours(shot)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	shown, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if shown.Bounds() != shot.Bounds() {
		t.Fatalf("the picture is %v, the page %v", shown.Bounds(), shot.Bounds())
	}
	// Blank or cut off pictures have few rows in which anything stands.
	if now, then := inkRows(shot), inkRows(shown); now < reportHeight/2 || then < now*3/4 || then > now*4/3 {
		t.Errorf("something stands in %d rows of the picture, and in %d of the page", then, now)
	}
}

// screenshot is what Chromium makes of a page.
func screenshot(t *testing.T, url string, width, height int) image.Image {
	t.Helper()
	home := t.TempDir()
	path := filepath.Join(home, "shot.png")
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--no-proxy-server", "--hide-scrollbars", "--user-data-dir="+home,
		fmt.Sprintf("--window-size=%d,%d", width, height), "--screenshot="+path, url)
	c.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
	c.WaitDelay = 10 * time.Second
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, lastBytes(said))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// fewColours keeps the 256 colours that are there most, so that the file is small.
func fewColours(img image.Image) *image.Paletted {
	n := make(map[color.RGBA]int)
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(img.At(x, y)).(color.RGBA) }
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			n[at(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(n), func(a, b color.RGBA) int {
		return cmp.Or(n[b]-n[a], cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	var palette color.Palette
	for _, c := range most[:min(256, len(most))] {
		palette = append(palette, c)
	}
	small := image.NewPaletted(img.Bounds(), palette)
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			small.Set(x, y, at(x, y))
		}
	}
	return small
}

// inkRows counts the rows that are not of one colour.
func inkRows(img image.Image) int {
	n := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if img.At(x, y) != img.At(0, y) {
				n++
				break
			}
		}
	}
	return n
}
