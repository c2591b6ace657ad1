package scopefile

import (
	"math"
	"strings"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/envelope"
)

// Version is the version of the form that Writer writes.
const Version = 1

// format is what the header says that a file is.
const format = "loam scope"

// Names of the fields of lines.
const (
	fieldFormat, fieldVersion, fieldScope                     = "format", "version", "scope"
	fieldCollection, fieldKey, fieldValue, fieldClass         = "collection", "key", "value", "class"
	fieldCreated, fieldUpdated, fieldExpires, fieldCorrelated = "created", "updated", "expires", "correlation"
	fieldEntries, fieldSum                                    = "entries", "sha256"

	fieldRetention                                   = "retention"
	fieldAge, fieldMost, fieldMostBytes, fieldIdling = "max_age_ms", "max_entries", "max_bytes", "drop_idle_ms"
)

// Header is what the first line says of the scope.
type Header struct {
	// Scope is its name.
	Scope scope.Scope
	// Retention is its rule.
	Retention Retention
}

// Retention is the rule of what a scope keeps. A zero field sets no limit, and the zero Retention is none.
type Retention struct {
	// MaxAge and DropIdle are times in milliseconds, up to MaxTime.
	MaxAge, DropIdle int64
	// MaxEntries and MaxBytes are how many entries are kept, and bytes.
	MaxEntries, MaxBytes int64
}

// MaxTime is the longest time of a Retention: the longest time.Duration, rounded up.
const MaxTime = math.MaxInt64/int64(time.Millisecond) + 1

// Entry is a value of a scope, or a document of one of its collections, with what is known of it.
type Entry struct {
	// Collection is the name of the collection that a document is in, empty for a value.
	Collection string
	// Key is the key of either.
	Key string
	// Value is the value, as package codec has them.
	Value any
	// Class is its class; zero where the file does not say.
	Class envelope.Class
	// Created, Updated and Expires say when it was first written, when last, and when it expires, all
	// zero where that is not known, or never.
	Created, Updated, Expires envelope.Millis
	// Correlation is the id of what it was written for, or empty.
	Correlation string
}

// behind reports whether e's place in a file is behind that of another entry: documents come first, by
// collection and key, then values by key.
func (e *Entry) behind(other *Entry) bool {
	if (e.Collection == "") != (other.Collection == "") {
		return e.Collection == ""
	}
	c := strings.Compare(e.Collection, other.Collection)
	return c > 0 || c == 0 && e.Key > other.Key
}
