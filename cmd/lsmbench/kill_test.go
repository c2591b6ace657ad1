package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKilledLoadLosesNothingAcknowledged kills a child for real. Only Loam keeps
// unsynced writes of a killed process; the others are asked to sync.
func TestKilledLoadLosesNothingAcknowledged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(file, jsonLines(2000), 0o600))
	for i, e := range engines {
		args := []string{"load", "-kill", "-kill-after", "300", "-engines", e.Name(), "-compress", compressions[i%len(compressions)], "-dir", t.TempDir()}
		if e.Name() != "loam" {
			args = append(args, "-sync")
		}
		out, err := runLine(t, append(args, file)...)
		require.NoError(t, err)
		require.Regexp(t, `: killed with \d+ of 2000 records acknowledged; reopened with exactly the first \d+; finished, and 1800 keys`, out)
	}
}

func TestChildThatEndsByItselfIsAnError(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := runAndKill(context.Background(), filepath.Join(t.TempDir(), "store"), 1, []string{"--", missing}, engines[0])
	require.ErrorContains(t, err, "ended by itself after 0 records")
	require.ErrorContains(t, err, "missing")
}

// TestPrefixCheckAcceptsPrefixesOnly is the canary of the kill test: stores that are
// no prefix, or too short a one, must be refused.
func TestPrefixCheckAcceptsPrefixesOnly(t *testing.T) {
	const content = "d\na\nb\na\na\nc\ne\n" // repeated keys around the middle
	src := writeSource(t, "lines", "", content)
	set := dataset{src: src}
	check := func(e Engine, acked uint64, written uint64, spoil func(Session) error) (uint64, error) {
		ctx := context.Background()
		l := &loader{opts: &options{config: testConfig}, dir: t.TempDir(), progress: &progress{}}
		want, err := l.expect(ctx, set, everything)
		require.NoError(t, err)
		dir := filepath.Join(l.dir, "store")
		s, err := e.Open(dir, testConfig)
		require.NoError(t, err)
		_, err = l.write(ctx, "", s.NewSession(), src, 0, func(n uint64) error {
			if n == written {
				return errStop
			}
			return nil
		})
		require.NoError(t, err)
		if spoil != nil {
			require.NoError(t, spoil(s.NewSession()))
		}
		require.NoError(t, s.Close())
		s, err = e.Open(dir, testConfig)
		require.NoError(t, err)
		found, err := l.checkPrefix(ctx, s.NewSession(), set, want, acked)
		require.NoError(t, s.Close())
		return found, err
	}
	for _, e := range engines {
		for written := uint64(1); written <= 7; written++ {
			for acked := uint64(1); acked <= written; acked++ {
				found, err := check(e, acked, written, nil)
				require.NoError(t, err, "%d of %d acknowledged", acked, written)
				require.Equal(t, written, found)
			}
		}
		_, err := check(e, 4, 3, nil)
		require.ErrorIs(t, err, errDiffers, "an acknowledged record is lost")
		_, err = check(e, 2, 4, func(s Session) error { return s.Delete([]byte("d")) })
		require.ErrorIs(t, err, errDiffers, "a hole")
		_, err = check(e, 2, 4, func(s Session) error { return s.Set([]byte("e"), []byte("7"), false) })
		require.ErrorIs(t, err, errDiffers, "a later record without those between")
		_, err = check(e, 2, 4, func(s Session) error { return s.Set([]byte("b"), []byte("damaged"), false) })
		require.ErrorIs(t, err, errDiffers, "a damaged value")
	}
}
