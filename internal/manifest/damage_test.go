package manifest_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// damaged is a store with a few edits, its files, and what it must never be taken for.
type damaged struct {
	form
	fs    vfs.FS
	files map[string][]byte
	want  contents
}

func newDamaged(t *testing.T, f form, edits int) *damaged {
	d := &damaged{form: f, fs: newFS(t), files: map[string][]byte{}}
	l := f.mustOpen(t, d.fs)
	states := appendEdits(t, l, 0, edits)
	d.want = states[edits]
	d.files[manifest.CurrentName] = readFile(t, d.fs, manifest.CurrentName)
	d.files[l.Name()] = readFile(t, d.fs, l.Name())
	return d
}

// check requires that the store with one file replaced is either reported as damaged or
// is the store that was written.
func (d *damaged) check(t *testing.T, name string, p []byte, what string, at int) {
	writeFile(t, d.fs, name, p)
	loaded, err := manifest.Load(d.fs, dir, d.openCipher)
	if err == nil {
		if got := loadedContents(loaded); got != d.want {
			t.Fatalf("%s of %s at %d gives another store", what, name, at)
		}
		return
	}
	var c *manifest.CorruptionError
	require.ErrorAs(t, err, &c, "%s of %s at %d", what, name, at)
}

func TestEveryDamagedBitIsReportedOrHarmless(t *testing.T) {
	forForms(t, everyDamagedBitIsReportedOrHarmless)
}

func everyDamagedBitIsReportedOrHarmless(t *testing.T, f form) {
	d := newDamaged(t, f, 4)
	for name, good := range d.files {
		p := bytes.Clone(good)
		for i := range p {
			for bit := range 8 {
				p[i] ^= 1 << bit
				d.check(t, name, p, "flip", i)
				p[i] ^= 1 << bit
			}
			p[i] ^= 0xff
			d.check(t, name, p, "inversion", i)
			p[i] = good[i]
		}
		writeFile(t, d.fs, name, good)
	}
}

func TestEveryOtherLengthIsReported(t *testing.T) {
	forForms(t, everyOtherLengthIsReported)
}

func everyOtherLengthIsReported(t *testing.T, f form) {
	d := newDamaged(t, f, 4)
	for name, good := range d.files {
		for n := range good {
			writeFile(t, d.fs, name, good[:n])
			_, err := manifest.Load(d.fs, dir, d.openCipher)
			require.ErrorIs(t, err, manifest.ErrCorrupt, "%s cut to %d", name, n)
		}
		for _, tail := range [][]byte{{0}, {'\n'}, make([]byte, 4096), good} {
			writeFile(t, d.fs, name, append(bytes.Clone(good), tail...))
			_, err := manifest.Load(d.fs, dir, d.openCipher)
			require.ErrorIs(t, err, manifest.ErrCorrupt, "%s extended by %d", name, len(tail))
		}
		writeFile(t, d.fs, name, good)
	}
}

func TestOverwrittenSpansAreReportedOrHarmless(t *testing.T) {
	forForms(t, overwrittenSpansAreReportedOrHarmless)
}

func overwrittenSpansAreReportedOrHarmless(t *testing.T, f form) {
	d := newDamaged(t, f, 4)
	for name, good := range d.files {
		for _, n := range []int{8, 24, 64} {
			for at := 0; at+n <= len(good); at += 4 {
				p := bytes.Clone(good)
				clear(p[at : at+n])
				d.check(t, name, p, "zeroing", at)
				copy(p[at:at+n], good[:n])
				d.check(t, name, p, "a copy of the start", at)
			}
		}
		writeFile(t, d.fs, name, good)
	}
}

// A torn record, one that was never acknowledged, is cut; the file is then left alone.
func TestATornRecordIsCutAndItsFileNotUsedAgain(t *testing.T) {
	forForms(t, aTornRecordIsCut)
}

func aTornRecordIsCut(t *testing.T, f form) {
	fs := newFS(t)
	l := f.mustOpen(t, fs)
	appendEdits(t, l, 0, 2)
	name, before, old := l.Name(), readFile(t, fs, l.Name()), of(l)
	require.NoError(t, l.Append(edit(2)))
	after, written := readFile(t, fs, name), of(l)
	current := readFile(t, fs, manifest.CurrentName)
	torn := 0
	for n := 1; n < len(after); n++ {
		fs := newFS(t)
		writeFile(t, fs, manifest.CurrentName, current)
		writeFile(t, fs, name, append(bytes.Clone(after[:n]), before[n:]...))
		loaded := f.mustLoad(t, fs)
		got := loadedContents(loaded)
		if got != written {
			require.Equal(t, old, got)
		}
		if !loaded.Torn {
			continue
		}
		torn++
		require.Positive(t, loaded.LostBytes)
		again, err := manifest.OpenLog(loaded, f.options(fs))
		require.NoError(t, err)
		require.NoError(t, again.Append(&manifest.Edit{LastTime: 99}))
		require.NotEqual(t, name, again.Name())
		require.Equal(t, of(again), loadedContents(f.mustLoad(t, fs)))
	}
	require.Greater(t, torn, 24)
}

// forForms runs a test with files in clear and sealed.
func forForms(t *testing.T, f func(t *testing.T, f form)) {
	t.Run("in clear", func(t *testing.T) { f(t, inClear) })
	t.Run("sealed", func(t *testing.T) { f(t, sealed) })
}
