package manifest

import (
	"fmt"
	"math"
	"path"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// roll writes state and version as the first record of a new manifest and makes CURRENT
// name it. Its steps, each durable before the next: the file's bytes; the entries of the
// file and of the prepared CURRENT; the change of CURRENT; only then is the old file
// removed (M7). Up to the change nothing has happened and the old file goes on; from
// the change on, which of the two a crash leaves is not known until the end.
func (l *Log) roll(state *State, version *Version) error {
	uid, err := fileid.NewUID(l.o.Random)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	num := l.maxNum + 1
	h := fileHeader{store: state.Store, uid: uid, num: num}
	p, end, g, err := l.image(h, state, version)
	if err != nil {
		return err
	}
	l.maxNum = num
	name := path.Join(l.o.Dir, manifestName(num))
	f, err := l.o.FS.Create(name)
	if err != nil {
		return fmt.Errorf("manifest: create %s: %w", manifestName(num), err)
	}
	err = writeImage(f, p)
	if err == nil {
		err = prepareCurrent(l.o.FS, l.o.Dir, current{num: num, uid: uid})
	}
	if err != nil {
		_ = f.Close()
		_ = l.o.FS.Remove(name) // nothing names it; it would only hold space
		return fmt.Errorf("manifest: roll to %s: %w", manifestName(num), err)
	}
	if err := switchCurrent(l.o.FS, l.o.Dir); err != nil {
		_ = f.Close()
		// CURRENT may name the new file or any old one, so all of them stay and
		// neither is written to: the next try makes yet another file.
		l.mustRoll = true
		l.superseded = append(l.superseded, num)
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	l.adopt(f, h, int64(len(p)), end)
	l.guard = g
	return nil
}

// Unseal goes on in a new file in clear, of a store that has no encrypted file any more: what its state
// has of keys is left out. When it returns nil, no Load after any crash reads the old one. Errors: as
// Append.
func (l *Log) Unseal() error {
	if l.err != nil {
		return l.err
	}
	state := *l.state
	state.Keyring, state.Vault, state.MinKey, state.Conversion = KeyAnchor{}, KeyAnchor{}, 0, nil
	sealing := l.o.NewCipher
	l.o.NewCipher = nil
	if err := l.roll(&state, l.version); err != nil {
		l.o.NewCipher = sealing
		return l.fail(err)
	}
	l.state = &state
	return nil
}

// adopt makes the new file the log's and removes the files it supersedes.
func (l *Log) adopt(f vfs.File, h fileHeader, length, end int64) {
	if l.file != nil {
		_ = l.file.Close() // what it was for is in the new file
		l.superseded = append(l.superseded, l.num)
	}
	for _, old := range l.superseded {
		// One that stays is found by the next opening, as an orphan.
		_ = l.o.FS.Remove(path.Join(l.o.Dir, manifestName(old)))
	}
	l.superseded = nil
	l.file, l.num, l.uid, l.seed = f, h.num, h.uid, fileid.NewSeed(fileid.KindManifest, h.uid)
	l.length, l.end, l.nextRecord = length, end, 2
	l.mustRoll = false
}

// image builds the whole content of a new file, and says where its second record goes and what
// seals that.
func (l *Log) image(h fileHeader, state *State, version *Version) (p []byte, end int64, g *guard, err error) {
	body := AppendEdit(nil, Snapshot(state, version))
	roll := l.o.RollBytes
	if roll == 0 {
		roll = defaultRollBytes
	}
	first := paddedLen(len(body) + seal.Overhead)
	length := max(roll, minRollBytes, snapshotsPerFile*first)
	length = min(length, maxFileLen) &^ (recordAlign - 1)
	if fileHeaderLen+first+markLen > length || length > math.MaxInt {
		return nil, 0, nil, invalid("snapshot of %d bytes", len(body))
	}
	h.length = length
	if g, err = newGuard(&l.o, &h); err != nil {
		return nil, 0, nil, fmt.Errorf("manifest: %w", err)
	}
	p = h.append(make([]byte, 0, length))
	r := record{kind: typeEdit, number: 1, body: body}
	if p, err = r.append(p, fileid.NewSeed(fileid.KindManifest, h.uid), fileHeaderLen, g); err != nil {
		return nil, 0, nil, fmt.Errorf("manifest: seal: %w", err)
	}
	end = int64(len(p))
	return p[:length], end, g, nil // the rest of the allocation is zero
}

func writeImage(f vfs.File, p []byte) error {
	if _, err := f.WriteAt(p, 0); err != nil {
		return err
	}
	if mutant.Enabled && mutant.Is(mutant.SkipManifestSync) {
		return nil
	}
	return f.Sync()
}
