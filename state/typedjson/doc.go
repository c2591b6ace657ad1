// Package typedjson writes values as JSON and reads them back without loss of their types: for
// export and import, and for people.
//
//	line, err := typedjson.Append(nil, map[string]any{"n": uint64(5)}, nil) // {"n":{"$uint":"5"}}
//	v, err := typedjson.Decode(line, nil)
//
// The package must not know what is exported, or where to.
//
// Invariants:
//
//   - J1. What Append writes Decode returns, equal and of the same types.
//   - J2. A value has one text, whatever the text that it was decoded from.
//   - J3. Nothing is read with a loss: what Decode cannot keep it refuses.
//
// docs/formats/typed-json.md is the form.
//
// Reading order: append.go, errors.go, decode.go, text.go.
package typedjson
