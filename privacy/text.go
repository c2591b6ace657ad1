package privacy

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/loamdb/loam/internal/mutant"
)

// maxPasses bounds how often a text is looked through, with marks in the places of what was
// found, before it counts as settled (P2). Two are the rule.
const maxPasses = 5

// findings returns what of s the modes find, in order and apart from each other.
func (m *modes) findings(s string) []candidate {
	on := m.looks()
	var found []candidate
	if m.cover != Off {
		if isMark(s) || s == "" {
			return nil
		}
		found = append(found, candidate{Field, 0, len(s)})
	}
	if on == 0 {
		return found
	}
	if found = find(found, s, on); len(found) == 0 {
		return nil
	}
	found = m.choose(found)
	on &^= 1 << PrivateKey // nothing before a block keeps it from being found
	for range maxPasses - 1 {
		marked, shifts := m.marked(s, found)
		if shifts == nil {
			return found
		}
		n := len(found)
		for _, c := range find(nil, marked, on) {
			found = append(found, candidate{c.detector, unshift(shifts, c.start, false), unshift(shifts, c.end, true)})
		}
		if found = m.choose(found); len(found) == n {
			return found
		}
	}
	return found
}

// mode returns what becomes of a candidate.
func (m *modes) mode(d Detector) Mode {
	if d == Field {
		return m.cover
	}
	return m.of[d]
}

// choose makes of candidates that may overlap findings that do not. What blocks goes before
// what replaces, and this before what is only detected. Of two alike the longer stays, or of
// the same bytes the first in the order of detectors; if each has bytes of its own, the first
// is stretched over both, so that nothing is left bare.
func (m *modes) choose(found []candidate) []candidate {
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(a.detector, b.detector))
	})
	out := found[:0]
	for _, c := range found {
		if len(out) == 0 || c.start >= out[len(out)-1].end {
			out = append(out, c)
			continue
		}
		last := &out[len(out)-1]
		if mutant.Enabled && mutant.Is(mutant.ShieldFindings) {
			continue
		}
		switch rank := m.mode(c.detector).rank(); {
		case rank > m.mode(last.detector).rank():
			*last = c
		case rank == m.mode(last.detector).rank():
			last.end = max(last.end, c.end)
		}
	}
	return out
}

// shift says that the bytes [from, to) of a text stand at [start, end) with marks in it. What
// follows stands behind them.
type shift struct{ from, to, start, end int }

// marked returns the lines of s that have findings to replace, with marks in their places, and
// where they stand; nil where there are none, or the text is refused as it is. Other lines need
// no second look: but for private keys, what is found in a line depends on it alone.
func (m *modes) marked(s string, found []candidate) (string, []shift) {
	var out []byte
	var shifts []shift
	done := 0 // what of s is in out, or left out
	for _, c := range found {
		mode := m.mode(c.detector)
		if mode == Block {
			return "", nil
		}
		if !mode.replaces() {
			continue
		}
		line := strings.LastIndexByte(s[done:c.start], '\n') + 1 + done
		if shifts == nil || line > done { // another line than the last one
			if shifts != nil {
				out = append(out, s[done:lineEnd(s, done)]...)
				out = append(out, '\n')
			}
			done = line
			shifts = append(shifts, shift{line, line, len(out), len(out)})
		}
		out = append(out, s[done:c.start]...)
		start := len(out)
		out = appendMark(out, Redact, c.detector, nil)
		shifts = append(shifts, shift{c.start, c.end, start, len(out)})
		done = c.end
	}
	return string(append(out, s[done:lineEnd(s, done)]...)), shifts
}

// lineEnd returns where the line ends that holds i.
func lineEnd(s string, i int) int {
	if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(s)
}

// unshift returns the place in the text of the place i among its marked lines: in a mark, where
// what it stands for begins, or ends.
func unshift(shifts []shift, i int, end bool) int {
	n := sort.Search(len(shifts), func(n int) bool { return shifts[n].end > i || end && shifts[n].end == i })
	switch {
	case n < len(shifts) && i > shifts[n].start && end:
		return shifts[n].to
	case n < len(shifts) && i >= shifts[n].start && !end:
		return shifts[n].from
	}
	return i + shifts[n-1].to - shifts[n-1].end // the first one stands before everything
}
