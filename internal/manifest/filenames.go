package manifest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/loamdb/loam/internal/fileid"
)

// Names of a store's files. The slots of the log are named by package wal.
const (
	// CurrentName is the file that names the manifest.
	CurrentName = "CURRENT"
	// LockName is the file whose lock says who has the directory open.
	LockName = "LOCK"
	// UnfinishedName is an empty file that stands beside a store under construction: until
	// CURRENT is there too, the directory holds none, whatever else is in it.
	UnfinishedName = "UNFINISHED"

	currentTempName = "CURRENT.tmp"
	manifestPrefix  = "MANIFEST-"
	tableSuffix     = ".sst"
	blobSuffix      = ".blob"
	// slotPrefix begins the names of the log's slots. Here they are only evidence of a
	// store whose CURRENT is gone.
	slotPrefix = "wal-"
)

// TableName returns the name of the table with the given number.
func TableName(num fileid.Num) string { return fmt.Sprintf("%06d%s", num, tableSuffix) }

// TableNum returns the number in a table's name, 0 if it is none.
func TableNum(name string) fileid.Num {
	num, ok := parseFileName(name)
	if !ok || !strings.HasSuffix(name, tableSuffix) {
		return 0
	}
	return num
}

// FileNum returns the number in the name of a table or blob file, 0 if it is neither.
func FileNum(name string) fileid.Num {
	num, ok := parseFileName(name)
	if !ok {
		return 0
	}
	return num
}

// BlobName returns the name of the blob file with the given number.
func BlobName(num fileid.Num) string { return fmt.Sprintf("%06d%s", num, blobSuffix) }

func manifestName(num uint64) string { return fmt.Sprintf("%s%06d", manifestPrefix, num) }

// parseFileName returns the number in a table's or blob file's name.
func parseFileName(name string) (fileid.Num, bool) {
	digits, ok := strings.CutSuffix(name, tableSuffix)
	nameOf := TableName
	if !ok {
		if digits, ok = strings.CutSuffix(name, blobSuffix); !ok {
			return 0, false
		}
		nameOf = BlobName
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return fileid.Num(n), err == nil && nameOf(fileid.Num(n)) == name
}

func parseManifestName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, manifestPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && manifestName(n) == name
}

// IsStoreFile reports whether name is one that the engine gives to files which come and
// go: tables, blob files, manifests, the temporary file of CURRENT and the mark of a store
// under construction. Such a file that
// nothing refers to is left from a crash and may be removed by the writer that owns the
// directory, once a store was opened there without error. CURRENT, LOCK and the log's
// slots are none: they stay.
func IsStoreFile(name string) bool {
	if name == currentTempName || name == UnfinishedName {
		return true
	}
	if _, ok := parseFileName(name); ok {
		return true
	}
	_, ok := parseManifestName(name)
	return ok
}

// isEvidence reports whether a file of this name proves that a store is, or was, in the
// directory.
func isEvidence(name string) bool {
	if name == currentTempName {
		return false // an interrupted Create leaves it
	}
	return IsStoreFile(name) || strings.HasPrefix(name, slotPrefix)
}
