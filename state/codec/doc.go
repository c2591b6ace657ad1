// Package codec holds the values of the state layer: what a value may be, its bytes, and the
// rules of keys.
//
// A value is nil, bool, int64, uint64, float64, string, []byte, time.Time, []any or
// map[string]any, the last two of values again. Other Go types (structs, named types, typed
// slices and maps, smaller numbers) are written as the value they amount to, and read into by
// Unmarshal. The bytes are MessagePack, in one form for each value:
//
//	b, err := codec.Append(nil, map[string]any{"n": int64(1)}, nil)
//	v, err := codec.Decode(b, nil)          // map[string]any{"n": int64(1)}
//	t, err := codec.Unmarshal[Turn](b, nil) // a struct with msgpack tags
//
// The package must not know where values are stored, who may see them, or what time it is.
// Everything in it is safe for concurrent use, as long as nobody changes a value meanwhile.
//
// Invariants:
//
//   - V1. Nothing is decoded that Validate does not accept, and no memory is made for a part of it
//     before every length up to there has been compared with the bytes that remain, and depth and
//     nodes have been counted.
//   - V2. What Append writes, Validate accepts under the same Limits, and Decode returns as a
//     value of the same types that is Equal and shares nothing with the bytes.
//   - V3. One value has one encoding, whichever Go types it was written from: map keys are
//     sorted, numbers as short as their type allows. Only what types write by methods of their
//     own stands as they have written it, and AppendUnordered leaves keys unsorted.
//   - V4. int64 and uint64 have forms of their own, so that integers keep their types.
//   - V5. An error names the rule and the place, and never the value.
//
// docs/values.md explains values to users, docs/formats/value.md has the bytes.
//
// Reading order: value.go, limits.go, errors.go, key.go, msgpack.go, validate.go, encode.go,
// decode.go, once.go, node.go; for Go types shape.go, fields.go, marshal.go, unmarshal.go, reader.go, custom.go.
package codec
