// Package keys defines the identity and order of everything the engine stores:
// sequence numbers, kinds, trailers and internal keys.
//
// An internal key is a user key and a Trailer. Internal keys sort by user key as
// bytes, ascending, and by trailer, descending, so that the newest version of a
// user key comes first. In memory the two parts travel side by side; no code path
// concatenates them.
//
// The user key, at this layer, already begins with a scope id (package scope): there
// is no unscoped key. This package does not know that.
//
// Numbers and kinds are on disk. docs/formats/keys.md is their canonical description.
package keys
