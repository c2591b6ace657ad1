package realdata

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// childSpec is the environment variable by which the test binary stands in for the child
// that Kill kills.
const childSpec = "LSMBENCH_TEST_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childSpec); text != "" {
		var spec Spec
		err := json.Unmarshal([]byte(text), &spec)
		if err == nil {
			err = Fill(context.Background(), spec, os.Stdout)
		}
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func startChild(t *testing.T) func(Spec) (*exec.Cmd, error) {
	return func(spec Spec) (*exec.Cmd, error) {
		self, err := os.Executable()
		require.NoError(t, err)
		text, err := json.Marshal(spec)
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childSpec+"="+string(text))
		return cmd, nil
	}
}

// TestKilledLoadLosesNothingAcknowledged kills a child for real. Only Loam keeps
// unsynced writes of a killed process; the others are asked to sync.
func TestKilledLoadLosesNothingAcknowledged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(file, jsonLines(2000), 0o600))
	src, err := Open([]string{file}, "auto", "")
	require.NoError(t, err)
	for i, e := range engine.All() {
		config := testConfig
		config.Compression = engine.Compressions[i%len(engine.Compressions)]
		spec := Spec{
			Dataset: Dataset{Name: "events", Source: src}, Engine: e.Name(), Config: config,
			Sync: e.Name() != "loam", Dir: t.TempDir(),
		}
		report, err := Kill(t.Context(), spec, 300, startChild(t))
		require.NoError(t, err)
		require.Regexp(t, `: killed with \d+ of 2000 records acknowledged; reopened with exactly the first \d+; finished, and 1800 keys`, report.String())
	}
}

func TestChildThatEndsByItselfIsAnError(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	spec := Spec{
		Dataset: Dataset{Source: &Source{Files: []File{{Path: missing, Format: "lines"}}}},
		Engine:  "loam", Config: testConfig, Store: filepath.Join(t.TempDir(), "store"),
	}
	_, err := runAndKill(t.Context(), spec, 1, startChild(t))
	require.ErrorContains(t, err, "ended by itself after 0 records")
	require.ErrorContains(t, err, "missing")
}

// TestPrefixCheckAcceptsPrefixesOnly is the canary of the kill test: stores that are
// no prefix, or too short a one, must be refused.
func TestPrefixCheckAcceptsPrefixesOnly(t *testing.T) {
	const content = "d\na\nb\na\na\nc\ne\n" // repeated keys around the middle
	src := writeSource(t, "lines", "", content)
	check := func(e engine.Engine, acked uint64, written uint64, spoil func(engine.Session) error) (found uint64, err error) {
		ctx := t.Context()
		l, err := newLoader(Spec{Dataset: Dataset{Source: src}, Engine: e.Name(), Config: testConfig, Dir: t.TempDir()}, nil)
		require.NoError(t, err)
		want, err := l.expect(ctx, everything)
		require.NoError(t, err)
		dir := filepath.Join(l.Dir, "store")
		require.NoError(t, l.opened(dir, func(_ engine.Store, s engine.Session) error {
			_, err := l.write(ctx, s, 0, func(n uint64) error {
				if n == written {
					return errStop
				}
				return nil
			})
			if err == nil && spoil != nil {
				err = spoil(s)
			}
			return err
		}))
		err = l.opened(dir, func(_ engine.Store, s engine.Session) error {
			found, err = l.checkPrefix(ctx, s, want, acked)
			return err
		})
		return found, err
	}
	for _, e := range engine.All() {
		for written := uint64(1); written <= 7; written++ {
			for acked := uint64(1); acked <= written; acked++ {
				found, err := check(e, acked, written, nil)
				require.NoError(t, err, "%d of %d acknowledged", acked, written)
				require.Equal(t, written, found)
			}
		}
		_, err := check(e, 4, 3, nil)
		require.ErrorIs(t, err, ErrDiffers, "an acknowledged record is lost")
		_, err = check(e, 2, 4, func(s engine.Session) error { return s.Delete([]byte("d")) })
		require.ErrorIs(t, err, ErrDiffers, "a hole")
		_, err = check(e, 2, 4, func(s engine.Session) error { return s.Set([]byte("e"), []byte("7"), false) })
		require.ErrorIs(t, err, ErrDiffers, "a later record without those between")
		_, err = check(e, 2, 4, func(s engine.Session) error { return s.Set([]byte("b"), []byte("damaged"), false) })
		require.ErrorIs(t, err, ErrDiffers, "a damaged value")
	}
}
