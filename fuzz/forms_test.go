package fuzz_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// Every harness also plays encrypted stores. Which a Setup's are follows from its seed; tests have their
// setups from the functions below, and TestMain fails where a test has had none that is encrypted.

// played are the tests that had setups, and whether one was encrypted.
var played = struct {
	sync.Mutex
	encrypted map[string]bool
}{encrypted: map[string]bool{}}

// setup returns a setup in the form of the seed for LogMapped, and in the other one for LogWritten: a test of
// both modes is one of both forms.
func setup(t *testing.T, seed uint64, mode lsm.LogMode) fuzz.Setup {
	t.Helper()
	return setupIn(t, seed, mode, mode == lsm.LogWritten)
}

// setupIn returns a setup in the form of the seed, encrypted or in clear, or in the other one.
func setupIn(t *testing.T, seed uint64, mode lsm.LogMode, other bool) fuzz.Setup {
	t.Helper()
	s := fuzz.Setup{Seed: seed, Mode: mode}
	for form := s.Encrypted(); other && s.Encrypted() == form; {
		s.Seed++
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	played.Lock()
	defer played.Unlock()
	played.encrypted[test] = played.encrypted[test] || s.Encrypted()
	return s
}

func TestMain(m *testing.M) {
	code := m.Run()
	if whole := !strings.Contains(flag.Lookup("test.run").Value.String(), "/"); code == 0 && whole {
		for test, encrypted := range played.encrypted {
			if !encrypted {
				fmt.Printf("--- FAIL: %s: all of its stores are in clear\n", test)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// A setup that a test makes by itself would not be counted.
func TestSetupsAreCounted(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if file != "forms_test.go" && file != "export_test.go" {
			require.NotContains(t, string(text), "fuzz.Setup{", file)
		}
	}
}
