// Package report shows results: as an aligned table of text, as lines of Go benchmarks
// for benchstat, as a page of HTML with charts, and the comparison of two files as a
// table with a verdict.
//
// It writes to an io.Writer and draws from package result alone. It must not know how a
// figure is measured, which engines and workloads there are, or what is done about a
// regression. The page loads nothing from elsewhere and needs no script.
//
// Reading order: arrange.go, columns.go (the columns of both tables), text.go,
// gobench.go, comparison.go; then html.go, page.go and summary.go, which make what
// page.html shows, with charts from axis.go, svg_bars.go, svg_lines.go, latency.go and
// series.go, and colours from palette.go.
package report
