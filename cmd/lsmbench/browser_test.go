package main

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var screenshot = flag.String("screenshot", "", "write the picture of the report in a wide window to this file")

// keptResults are the tables of docs/benchmarks; the last one is the newest.
const keptResults = "../../docs/benchmarks/*-full.jsonl"

// browsers are names under which Chromium is installed.
var browsers = []string{"chromium", "chromium-browser", "google-chrome"}

// phone is the width of a small one, in pixels of CSS.
const phone = 360

// The report of the newest kept results as a browser shows it, light and dark, in a wide
// window and as narrow as a phone: nothing is reported on the console, nothing is loaded,
// every chart is there, and the page is no wider than what shows it.
func TestTheReportInABrowser(t *testing.T) {
	if os.Getenv("LOAM_LONG") == "" && *screenshot == "" {
		t.Skip("set LOAM_LONG=1 to open the report in a browser")
	}
	b := newBrowser(t)
	kept, err := filepath.Glob(keptResults)
	require.NoError(t, err)
	require.NotEmpty(t, kept)
	page := filepath.Join(b.dir, "report.html")
	_, err = runLine(t, "report", "-html", page, kept[len(kept)-1])
	require.NoError(t, err)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	charts := strings.Count(string(text), "<svg")
	require.Greater(t, charts, 50)

	// A script counts what is there, of the page alone and of one in a frame: no window of
	// Chromium is as narrow as a phone.
	const probe = `<script>addEventListener("load", () => {
		const d = %s, w = d.defaultView;
		document.title = "charts " + [...d.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().height > 20).length +
			" width " + w.innerWidth + " too wide " + (d.documentElement.scrollWidth > w.innerWidth) +
			" paper " + w.getComputedStyle(d.body).backgroundColor + " loaded " + w.performance.getEntriesByType("resource").length;
	})</script>`
	wide := b.write("wide.html", string(text)+fmt.Sprintf(probe, "document"))
	frame := fmt.Sprintf(`<!DOCTYPE html><style>body { margin: 0 }</style><iframe style="border: 0; width: %dpx; height: 2000px" srcdoc="%s"></iframe>`,
		phone, html.EscapeString(string(text)))
	narrow := b.write("narrow.html", frame+fmt.Sprintf(probe, "frames[0].document"))
	for _, scheme := range []struct{ name, setting, paper string }{
		{"light", "preferredColorScheme=1", "rgb(253, 253, 252)"},
		{"dark", "preferredColorScheme=0", "rgb(21, 22, 24)"},
	} {
		look := "--blink-settings=" + scheme.setting
		for file, width := range map[string]int{wide: 1280, narrow: phone} {
			want := fmt.Sprintf("charts %d width %d too wide false paper %s loaded 0", charts, width, scheme.paper)
			require.Equal(t, want, b.title(look, file), scheme.name)
		}
		require.Greater(t, colours(b.picture(look, page)), 10, "an empty page")
	}
	if *screenshot != "" {
		b.picture("--blink-settings=preferredColorScheme=1", page)
		picture, err := os.ReadFile(b.shot)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*screenshot, picture, 0o644))
	}
}

// browser runs Chromium without a window.
type browser struct {
	t               *testing.T
	path, dir, shot string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	dir := t.TempDir()
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return &browser{t: t, path: path, dir: dir, shot: filepath.Join(dir, "shot.png")}
		}
	}
	t.Skip("no Chromium is installed")
	return nil
}

func (b *browser) write(name, text string) string {
	path := filepath.Join(b.dir, name)
	require.NoError(b.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// run shows a file in a wide window. There is no network: whatever a page asked for would be
// reported on the console, as errors are.
func (b *browser) run(file string, args ...string) string {
	args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
		"--host-resolver-rules=MAP * ~NOTFOUND", "--user-data-dir=" + filepath.Join(b.dir, "profile"), "--window-size=1280,2400"}, args...)
	cmd := exec.CommandContext(b.t.Context(), b.path, append(args, "file://"+file)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	require.NoError(b.t, cmd.Run(), log.String())
	require.NotContains(b.t, log.String(), "CONSOLE")
	return out.String()
}

// title is that of the page once its scripts have run.
func (b *browser) title(look, file string) string {
	_, title, _ := strings.Cut(b.run(file, look, "--virtual-time-budget=10000", "--dump-dom"), "<title>")
	title, _, _ = strings.Cut(title, "</title>")
	return title
}

func (b *browser) picture(look, file string) image.Image {
	b.run(file, look, "--screenshot="+b.shot)
	f, err := os.Open(b.shot)
	require.NoError(b.t, err)
	defer f.Close()
	picture, err := png.Decode(f)
	require.NoError(b.t, err)
	return picture
}

// colours counts those of a part of the pixels.
func colours(picture image.Image) int {
	seen := map[any]bool{}
	for y := 0; y < picture.Bounds().Dy(); y += 3 {
		for x := 0; x < picture.Bounds().Dx(); x += 3 {
			seen[picture.At(x, y)] = true
		}
	}
	return len(seen)
}
