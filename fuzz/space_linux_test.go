package fuzz_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A device of 16 MiB is filled, freed and filled again: writes are refused while it is
// full, with a typed error; reads go on; the first writes after space returned succeed,
// and nothing acknowledged is ever missing.
func TestARealDeviceFillsAndIsFreed(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("loam", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a small device cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })

	store, ballast := filepath.Join(dir, "store"), filepath.Join(dir, "ballast")
	db, err := lsm.Open(store, &lsm.Options{MemoryBudget: 4 << 20, Compression: lsm.NoCompression})
	require.NoError(t, err)
	want := map[string][]byte{}
	refused := 0
	for round := range sized(6, 200) {
		fill(t, ballast)
		for i := range 400 {
			k := fmt.Sprintf("k%03d", i)
			v := bytes.Repeat([]byte{byte(round), byte(i)}, 1000)
			err := db.Set([]byte(k), v, lsm.NoSync)
			if errors.Is(err, lsm.ErrNoSpace) {
				require.NotErrorIs(t, err, lsm.ErrPoisoned)
				refused++
				break
			}
			require.NoError(t, err)
			want[k] = v
		}
		for k, v := range want {
			got, err := db.Get([]byte(k))
			require.NoError(t, err)
			require.Equal(t, v, got)
		}
		require.NoError(t, os.Remove(ballast))
		require.NoError(t, db.Set([]byte("free"), []byte{byte(round)}, nil))
		want["free"] = []byte{byte(round)}
	}
	t.Logf("%d writes refused for lack of space", refused)
	require.Positive(t, refused)
	require.NoError(t, db.Close())

	db, err = lsm.Open(store, nil)
	require.NoError(t, err)
	n := 0
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		require.Equal(t, want[string(e.Key)], e.Value)
		n++
	}
	require.Len(t, want, n)
	require.NoError(t, db.Close())
}

// fill writes a file until the device is full.
func fill(t *testing.T, name string) {
	f, err := os.Create(name)
	require.NoError(t, err)
	for p := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(p)
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, f.Close())
}
