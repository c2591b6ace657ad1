package index

import (
	"errors"
	"fmt"
	"strconv"
)

// What went wrong, for errors.Is.
var (
	// ErrDef: a declaration breaks a rule.
	ErrDef = errors.New("index: invalid declaration")
	// ErrValue: a document has a value that cannot be indexed.
	ErrValue = errors.New("index: a value cannot be indexed")
	// ErrUnique: another document has the same values in a unique index.
	ErrUnique = errors.New("index: another document has the same values")
	// ErrQuery: a query breaks a rule.
	ErrQuery = errors.New("index: invalid query")
	// ErrToken: a page token is damaged, of another query, or of a plan that there is no more.
	ErrToken = errors.New("index: page token refused")
	// ErrDisagrees: an index has an entry that its document does not have.
	ErrDisagrees = errors.New("index: disagrees with its documents")
	// ErrMalformed: bytes that are no entry or no catalog.
	ErrMalformed = errors.New("index: malformed")
	// ErrTooNew: a version of the catalog that this code does not know.
	ErrTooNew = errors.New("index: version too new")
)

// DefError says what is wrong with a declaration. It matches ErrDef.
type DefError struct {
	// Index is the name that was declared; it is empty for what concerns all indexes.
	Index string
	// Reason is the rule, in words.
	Reason string
}

// Error implements error.
func (e *DefError) Error() string {
	if e.Index == "" {
		return ErrDef.Error() + ": " + e.Reason
	}
	return fmt.Sprintf("%v: %.80q: %s", ErrDef, e.Index, e.Reason)
}

// Unwrap returns ErrDef.
func (e *DefError) Unwrap() error { return ErrDef }

// ValueError says why a document cannot be indexed. It matches ErrValue.
type ValueError struct {
	// Index is the index's name, Key the document's.
	Index, Key string
	// Field is the field, or empty when it is all of them together.
	Field string
	// Err is the reason, or what the index's function has returned.
	Err error
}

// Error implements error.
func (e *ValueError) Error() string {
	field := ""
	if e.Field != "" {
		field = ", field " + e.Field
	}
	return fmt.Sprintf("%v: index %s%s, key %q: %v", ErrValue, e.Index, field, e.Key, e.Err)
}

// Unwrap returns ErrValue and Err.
func (e *ValueError) Unwrap() []error { return []error{ErrValue, e.Err} }

// inDoc says of a *ValueError whose document has the value.
func inDoc(err error, key string) error {
	if ve, ok := err.(*ValueError); ok {
		ve.Key = key
	}
	return err
}

// UniqueError names the documents that would have the same values in a unique index. It matches
// ErrUnique.
type UniqueError struct {
	// Index is the index's name.
	Index string
	// Key is of the document that was refused, Holder of the one that has the values, empty for whoever may
	// not read that.
	Key, Holder string
}

// Error implements error.
func (e *UniqueError) Error() string {
	holder := "another"
	if e.Holder != "" {
		holder = strconv.Quote(e.Holder)
	}
	return fmt.Sprintf("%v: index %s, key %q, held by %s", ErrUnique, e.Index, e.Key, holder)
}

// Unwrap returns ErrUnique.
func (e *UniqueError) Unwrap() error { return ErrUnique }

// QueryError says what is wrong with a query. It matches ErrQuery.
type QueryError struct {
	// Field is the field that the query has named, or empty.
	Field string
	// Reason is the rule, in words.
	Reason string
}

// Error implements error.
func (e *QueryError) Error() string {
	if e.Field == "" {
		return ErrQuery.Error() + ": " + e.Reason
	}
	return fmt.Sprintf("%v: field %.80q: %s", ErrQuery, e.Field, e.Reason)
}

// Unwrap returns ErrQuery.
func (e *QueryError) Unwrap() error { return ErrQuery }

// TokenError says why a page token is refused. It matches ErrToken. The query can be begun again
// without it.
type TokenError struct {
	// Reason is the reason, in words.
	Reason string
}

// Error implements error.
func (e *TokenError) Error() string { return ErrToken.Error() + ": " + e.Reason }

// Unwrap returns ErrToken.
func (e *TokenError) Unwrap() error { return ErrToken }

// DisagreeError names an entry without its document. It matches ErrDisagrees. Building the index
// anew mends it.
type DisagreeError struct {
	// Index is the index's name, Key that of the document which the entry is for.
	Index, Key string
}

// Error implements error.
func (e *DisagreeError) Error() string {
	return fmt.Sprintf("%v: index %s, key %q", ErrDisagrees, e.Index, e.Key)
}

// Unwrap returns ErrDisagrees.
func (e *DisagreeError) Unwrap() error { return ErrDisagrees }
