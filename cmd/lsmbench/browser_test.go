package main

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// browsers are names under which Chromium is installed.
var browsers = []string{"chromium", "chromium-browser", "google-chrome"}

// The report as a browser shows it, wide and as narrow as a phone: nothing is reported on
// the console, charts are there, and the page is no wider than the window.
func TestTheReportInABrowser(t *testing.T) {
	if os.Getenv("LOAM_LONG") == "" {
		t.Skip("set LOAM_LONG=1 to open the report in a browser")
	}
	browser := ""
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no Chromium is installed")
	}
	dir := t.TempDir()
	page := filepath.Join(dir, "report.html")
	_, err := runLine(t, append([]string{"bench", "-engines", "loam,pebble", "-repeats", "2", "-html", page,
		"-workloads", "fillseq,fillrandom,fillsync,readrandom,readmissing,readseq,seekrandom,ycsb-a"}, tiny(t)...)...)
	require.NoError(t, err)
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	probe := filepath.Join(dir, "probe.html")
	require.NoError(t, os.WriteFile(probe, append(html, []byte(`<script>
		document.title = "svg " + document.querySelectorAll("svg").length +
			" too wide " + (document.documentElement.scrollWidth > window.innerWidth);
	</script>`)...), 0o600))

	chromium := func(args ...string) (stdout, stderr string) {
		cmd := exec.CommandContext(t.Context(), browser, append([]string{"--headless", "--no-sandbox", "--disable-gpu",
			"--disable-dev-shm-usage", "--enable-logging=stderr", "--user-data-dir=" + filepath.Join(dir, "profile")}, args...)...)
		var out, log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &log
		require.NoError(t, cmd.Run(), log.String())
		return out.String(), log.String()
	}
	for _, width := range []int{1280, 500} { // no window of Chromium is narrower than 500
		size := fmt.Sprintf("--window-size=%d,2400", width)
		dom, log := chromium(size, "--dump-dom", "file://"+probe)
		require.NotContains(t, log, "CONSOLE", width)
		_, title, _ := strings.Cut(dom, "<title>")
		title, _, _ = strings.Cut(title, "</title>")
		require.Contains(t, title, "too wide false", width)
		require.NotContains(t, title, "svg 0 ", width)

		shot := filepath.Join(dir, fmt.Sprintf("%d.png", width))
		chromium(size, "--screenshot="+shot, "file://"+page)
		f, err := os.Open(shot)
		require.NoError(t, err)
		image, err := png.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		colors := map[any]bool{}
		for y := 0; y < image.Bounds().Dy(); y += 3 {
			for x := 0; x < image.Bounds().Dx(); x += 3 {
				colors[image.At(x, y)] = true
			}
		}
		require.Greater(t, len(colors), 10, "an empty page")
	}
}
