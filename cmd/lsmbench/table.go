package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// better marks the best rate of a workload.
const better = "*"

// printTable prints rows, those of one workload together, as an aligned table. The
// ratio of a row is its rate to that of reference, or absent for reference itself and
// when only one engine ran.
func printTable(w io.Writer, rows []row, reference string) error {
	lines := [][]string{{"workload", "engine", "ops/s", "ratio", "settled/s", "ratio", "p50", "p99", "p99.9", "max", "disk", "space", "write"}}
	last := ""
	for _, r := range rows {
		name := r.Workload
		if name == last {
			name = ""
		}
		last = r.Workload
		lines = append(lines, []string{
			name, r.Engine,
			mark(rows, r, rateOf) + rateText(r.Rate), ratioText(rows, r, reference, rateOf),
			mark(rows, r, settledOf) + rateText(r.Settled), ratioText(rows, r, reference, settledOf),
			durationText(r.P50), durationText(r.P99), durationText(r.P999), durationText(r.Max),
			byteSize(r.DiskBytes), ampText(r.SpaceAmp), ampText(r.WriteAmp),
		})
	}
	return printAligned(w, lines)
}

func rateOf(r row) float64    { return r.Rate }
func settledOf(r row) float64 { return r.Settled }

// mark returns the mark if r has the greatest figure of its workload's rows.
func mark(rows []row, r row, figure func(row) float64) string {
	others := 0
	for _, o := range rows {
		if o.Workload != r.Workload || o.Engine == r.Engine {
			continue
		}
		others++
		if figure(o) >= figure(r) {
			return ""
		}
	}
	if others == 0 {
		return ""
	}
	return better
}

func ratioText(rows []row, r row, reference string, figure func(row) float64) string {
	for _, o := range rows {
		if o.Workload == r.Workload && o.Engine == reference && r.Engine != reference && figure(o) > 0 {
			return fmt.Sprintf("%.2f×", figure(r)/figure(o))
		}
	}
	return ""
}

// printAligned prints lines with the first two columns flush left, the others right.
func printAligned(w io.Writer, lines [][]string) error {
	widths := make([]int, len(lines[0]))
	for _, cells := range lines {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var out strings.Builder
	for _, cells := range lines {
		var line strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i < 2 {
				line.WriteString(c + pad + "  ")
			} else {
				line.WriteString(pad + c + "  ")
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// printJSON prints one object a line.
func printJSON(w io.Writer, rows []row) error {
	enc := json.NewEncoder(w)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

const absent = "-"

// rateText gives three digits: 862k, 1.20M.
func rateText(v float64) string {
	switch {
	case v <= 0:
		return absent
	case v < 999.5:
		return fmt.Sprintf("%.3g", v)
	case v < 999.5e3:
		return threeDigits(v/1e3) + "k"
	}
	return threeDigits(v/1e6) + "M"
}

func threeDigits(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func durationText(d time.Duration) string {
	switch {
	case d <= 0:
		return absent
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d)
	case d < time.Millisecond:
		return threeDigits(float64(d)/1e3) + "µs"
	case d < time.Second:
		return threeDigits(float64(d)/1e6) + "ms"
	}
	return threeDigits(d.Seconds()) + "s"
}

func ampText(v float64) string {
	if v <= 0 {
		return absent
	}
	return fmt.Sprintf("%.2f", v)
}

// byteSize gives a size in the binary unit that keeps it below 1,024.
func byteSize(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, u := float64(n)/1024, 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	if v == float64(int64(v)) {
		return fmt.Sprintf("%d %ciB", int64(v), units[u])
	}
	return fmt.Sprintf("%s %ciB", threeDigits(v), units[u])
}
