package fuzz_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// R36: keys, values and names of scopes are in no file of an encrypted store, and in no log, error
// and panic of any, whatever fails; and all files lie in the directories of the stores.
func TestCanariesAreSeenNowhere(t *testing.T) {
	scored(t, "R36")
	unraced(t)
	for i, mode := range []lsm.LogMode{lsm.LogMapped, lsm.LogWritten} {
		for _, seed := range []uint64{60, 61} { // one is encrypted
			f := fuzz.AnyCall
			if !long {
				f.Every, f.Limit = 23, 40
			}
			x, searched, err := fuzz.SweepCanaries(setupIn(t, seed+3*uint64(i), mode, false), sized(200, 1000), f)
			require.NoError(t, err)
			t.Logf("seed %d: %d runs, %d faults met, %d writes and texts searched", seed, x.States, x.Points, searched)
			require.NoError(t, x.Err())
			require.Positive(t, x.Points)
		}
	}
}

// What a store in clear writes is seen, and so is a canary in any form of a text.
func TestCanariesInClearAreSeen(t *testing.T) {
	require.ErrorContains(t, fuzz.SeenInFiles(setupIn(t, 1, lsm.LogAuto, false), 100), "canaries were seen")
	require.NoError(t, fuzz.SeenInFiles(setupIn(t, 1, lsm.LogAuto, true), 100), "an encrypted one")
	key := []byte(fuzz.Canary(7))
	for _, text := range []string{
		string(key), fmt.Sprintf("%q", key), fmt.Sprintf("%x", key), fmt.Sprintf("%X", key), fmt.Sprint(key), fmt.Sprintf("%#v", key[:6]),
		string(key[3:20]), base64.StdEncoding.EncodeToString(key), base64.StdEncoding.EncodeToString(key[1:]),
		base64.StdEncoding.EncodeToString(key[2:]), base64.StdEncoding.EncodeToString(key[4:30]),
	} {
		require.True(t, fuzz.SeenInText("key "+text+"."), text)
	}
	require.False(t, fuzz.SeenInText("flushed tables=1 bytes=4096"))
	require.True(t, fuzz.SeenInPanic(key))
	require.True(t, fuzz.SeenInPanic(fmt.Errorf("operand %q", key)))
	require.False(t, fuzz.SeenInPanic("Check"))
	require.True(t, fuzz.SeenAt("elsewhere/000001.sst"))
	require.False(t, fuzz.SeenAt(fuzz.Dir+"/000001.sst"))
}
