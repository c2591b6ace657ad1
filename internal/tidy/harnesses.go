package tidy

import (
	"regexp"
	"strings"
)

// harnessDirs are the packages whose stores are encrypted or not. Those of ./fuzz are counted while its tests run.
var harnessDirs = map[string]bool{"lsm": true, "state": true}

// encryptedForm is how test files say that a store is encrypted, or choose whether it is.
var encryptedForm = regexp.MustCompile(`Encryption: |encryptionIf\(|randomOptions\(|modelled\(|masterKey\(|sealingOn\(|bothWays\(|Encrypt\(`)

// Harnesses reports test files with models, and such that cut the power everywhere, in which no store is encrypted.
// It looks at whole files: that each test of one has such a form is for whoever reads it.
func Harnesses(t *Tree) []Problem {
	var out []Problem
	for _, f := range t.withSuffix("_test.go") {
		harness := strings.HasSuffix(f.Path, "_model_test.go") || strings.HasSuffix(f.Path, "_crash_test.go") || strings.Contains(f.Src, ".Explore()")
		if harness && harnessDirs[f.Dir()] && !encryptedForm.MatchString(f.Src) {
			out = append(out, Problem{Path: f.Path, Text: "no store of this harness is encrypted"})
		}
	}
	return out
}
