// Package units writes figures as people read them: three digits and a unit.
package units

import (
	"fmt"
	"time"
)

// Absent stands where there is no figure.
const Absent = "-"

// Rate writes a number per second: 862k, 1.20M. Nothing at all is Absent.
func Rate(v float64) string {
	switch {
	case v <= 0:
		return Absent
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

// Duration writes a length of time in the unit that suits it. Nothing is Absent.
func Duration(d time.Duration) string {
	switch {
	case d <= 0:
		return Absent
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d)
	case d < time.Millisecond:
		return threeDigits(float64(d)/1e3) + "µs"
	case d < time.Second:
		return threeDigits(float64(d)/1e6) + "ms"
	}
	return threeDigits(d.Seconds()) + "s"
}

// Factor writes a ratio, or Absent when it is not known.
func Factor(v float64) string {
	if v <= 0 {
		return Absent
	}
	return fmt.Sprintf("%.2f", v)
}

// Bytes writes a size in the binary unit that keeps it below 1,024.
func Bytes(n int64) string {
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
