package privacy

import (
	"encoding/hex"
	"strings"

	"github.com/loamdb/loam/internal/mutant"
)

// A mark stands in a text in the place of what was found. Canonical description:
// docs/privacy.md.
//
//	mark = "[" mode ":" detector [ ":" payload ] "]"
//
// The mode is redacted, hash, token or sealed. All but redacted have a payload, at least 64
// lower-case hexadecimal digits. Such a run of digits is one word, in which no detector finds
// anything, so that nothing can hide in what looks like a mark.

var markModes = [modeCount]string{Redact: "redacted", Hash: "hash", Tokenise: "token", Encrypt: "sealed"}

const minPayload = 64 // in hexadecimal digits

// mark is a mark in a text.
type mark struct {
	mode     Mode
	detector Detector
	payload  string // hexadecimal
	end      int    // behind the closing bracket
}

// appendMark appends a mark.
func appendMark(dst []byte, mode Mode, d Detector, payload []byte) []byte {
	dst = append(append(append(append(dst, '['), markModes[mode]...), ':'), d.String()...)
	if mode != Redact {
		dst = hex.AppendEncode(append(dst, ':'), payload)
	}
	return append(dst, ']')
}

// markAt returns the mark that begins at i, if one does.
func markAt(s string, i int) (mark, bool) {
	if at(s, i) != '[' || mutant.Enabled && mutant.Is(mutant.ProtectTwice) {
		return mark{}, false
	}
	rest := s[i+1:]
	for mode := Redact; mode <= Encrypt; mode++ {
		name := markModes[mode]
		if !strings.HasPrefix(rest, name) || at(rest, len(name)) != ':' {
			continue
		}
		rest = rest[len(name)+1:]
		for d, name := range detectorNames {
			if !strings.HasPrefix(rest, name) {
				continue
			}
			m := mark{mode: mode, detector: Detector(d)}
			payload := rest[len(name):]
			if mode != Redact {
				n := 1
				for n < len(payload) && (isDigit(payload[n]) || payload[n] >= 'a' && payload[n] <= 'f') {
					n++
				}
				if payload == "" || payload[0] != ':' || n <= minPayload || n%2 == 0 {
					continue
				}
				m.payload, payload = payload[1:n], payload[n:]
			}
			if at(payload, 0) == ']' {
				m.end = len(s) - len(payload) + 1
				return m, true
			}
		}
		return mark{}, false
	}
	return mark{}, false
}

// isMark reports whether s is one mark and nothing else.
func isMark(s string) bool {
	m, ok := markAt(s, 0)
	return ok && m.end == len(s)
}
