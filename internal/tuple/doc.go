// Package tuple encodes sequences of typed values as bytes that sort as the values do.
//
// The engine orders keys as bytes and knows no other order. Whoever wants numbers,
// times or composite keys in order (secondary indexes, timelines, expiry queues)
// encodes them here first.
//
// The package must not know who uses it, nor anything of keys or scopes.
//
// Invariants, proved by tests over pairs of adversarial values and by fuzzing:
//
//   - I1. Order: bytes of encodings compare as the values do. Values of different
//     kinds compare by kind, in the order of the constants of Kind; tuples compare
//     element by element, a shorter one before its extensions.
//   - I2. Prefix-free: the encoding of no single value is a prefix of another's. A
//     sequence of values is therefore decoded without lengths, and any bytes may
//     follow it.
//   - I3. Canonical: a value has one encoding and Decode accepts no other bytes.
//   - I4. Nothing begins with 0xFF, so that a prefix followed by 0xFF is above every
//     sequence that begins with the prefix (AppendPrefixEnd).
//
// docs/formats/tuple.md is the layout.
//
// Reading order: kind.go, append.go, decode.go. A key of (user, time) and back:
//
//	key := tuple.AppendString(nil, "ada")
//	key = tuple.AppendTime(key, when)
//	user, n, err := tuple.Decode(key)
//	at, _, err := tuple.Decode(key[n:])
package tuple
