package manifest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// current is the content of CURRENT: one line of text, so that people can read it.
//
//	loam.current 1 MANIFEST-000001 <uid, 32 hex digits> <CRC-32C of what precedes it, 8 hex digits>
type current struct {
	num uint64
	uid fileid.UID
}

const (
	currentMagic   = "loam.current"
	currentVersion = "1"
	maxCurrentLen  = 256
)

func (c current) append(dst []byte) []byte {
	dst = fmt.Appendf(dst, "%s %s %s %s ", currentMagic, currentVersion, manifestName(c.num), c.uid)
	return fmt.Appendf(dst, "%08x\n", codec.Checksum(0, dst))
}

// decodeCurrent decodes what append makes of an empty slice.
func decodeCurrent(p []byte) (current, error) {
	fields := strings.Split(string(p), " ")
	if fields[0] != currentMagic {
		return current{}, errMagic
	}
	last := fields[len(fields)-1]
	sum, err := strconv.ParseUint(strings.TrimSuffix(last, "\n"), 16, 32)
	if err != nil || uint32(sum) != codec.Checksum(0, p[:len(p)-len(last)]) {
		return current{}, errChecksum
	}
	if len(fields) < 2 || fields[1] != currentVersion {
		return current{}, ErrTooNew // a version is believed only if the checksum fits
	}
	if len(fields) != 5 {
		return current{}, errCurrent
	}
	num, ok := parseManifestName(fields[2])
	uid, err := hex.DecodeString(fields[3])
	if !ok || err != nil || len(uid) != len(fileid.UID{}) {
		return current{}, errCurrent
	}
	c := current{num: num, uid: fileid.UID(uid)}
	if string(c.append(nil)) != string(p) {
		return current{}, errCurrent
	}
	return c, nil
}

// loadCurrent reads CURRENT. Its error for a missing file matches vfs.ErrNotExist.
func loadCurrent(fs vfs.FS, dir string) (current, error) {
	f, err := fs.Open(path.Join(dir, CurrentName), vfs.ReadOnly)
	if err != nil {
		return current{}, fmt.Errorf("manifest: open %s: %w", CurrentName, err)
	}
	defer f.Close()
	p, err := readWhole(f, maxCurrentLen)
	if err != nil && !errors.Is(err, errLength) {
		return current{}, fmt.Errorf("manifest: read %s: %w", CurrentName, err)
	}
	c := current{}
	if err == nil {
		c, err = decodeCurrent(p)
	}
	if errors.Is(err, ErrTooNew) {
		return current{}, fmt.Errorf("%w: %s", ErrTooNew, CurrentName)
	}
	if err != nil {
		return current{}, &CorruptionError{File: CurrentName, Offset: -1, Err: err}
	}
	return c, nil
}

// prepareCurrent writes c to the temporary file and makes it durable, with every other
// entry of the directory.
func prepareCurrent(fs vfs.FS, dir string, c current) error {
	tmp := path.Join(dir, currentTempName)
	if err := fs.Remove(tmp); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return fmt.Errorf("manifest: remove %s: %w", currentTempName, err)
	}
	if err := writeFile(fs, tmp, c.append(nil)); err != nil {
		return err
	}
	if err := fs.SyncDir(dir); err != nil {
		return fmt.Errorf("manifest: sync directory: %w", err)
	}
	return nil
}

// switchCurrent makes the prepared CURRENT the valid one, durably. After an error
// either may be valid after a crash.
func switchCurrent(fs vfs.FS, dir string) error {
	if err := fs.Rename(path.Join(dir, currentTempName), path.Join(dir, CurrentName)); err != nil {
		return fmt.Errorf("manifest: rename to %s: %w", CurrentName, err)
	}
	if mutant.Enabled && mutant.Is(mutant.SkipCurrentSync) {
		return nil
	}
	if err := fs.SyncDir(dir); err != nil {
		return fmt.Errorf("manifest: sync directory: %w", err)
	}
	return nil
}

// writeFile makes a file with content p, synced; its entry is not.
func writeFile(fs vfs.FS, name string, p []byte) error {
	f, err := fs.Create(name)
	if err != nil {
		return fmt.Errorf("manifest: create %s: %w", path.Base(name), err)
	}
	_, err = f.WriteAt(p, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("manifest: write %s: %w", path.Base(name), err)
	}
	return nil
}
