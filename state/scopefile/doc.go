// Package scopefile is the form in which a scope leaves a store and comes back: JSON Lines that lose no
// type, with a header that says what they are and a trailer by which a cut or a change is noticed.
//
//	w, err := scopefile.NewWriter(file, scope.Agent("a1"))
//	err = w.Write(&scopefile.Entry{Key: "goal", Class: envelope.Standard, Value: "report"})
//	err = w.Close()
//
//	r, err := scopefile.NewReader(file, nil)
//	for {
//		e, err := r.Next()
//		if err == io.EOF { // whole, and as it was written
//			break
//		}
//		…
//	}
//
// The package must not know where entries come from, where they go, or whether a store may have
// them.
//
// Invariants:
//
//   - F1. What Writer writes Reader gives, equal and of the same types, in the same order.
//   - F2. io.EOF comes after the trailer only: until then nobody knows whether the file is whole, or what
//     was written.
//   - F3. A Reader takes no more memory than the limits and the line that there is ask for, and accepts
//     nothing that it does not give.
//
// docs/formats/scope-file.md is the form.
//
// Reading order: entry.go, writer.go, errors.go, reader.go, fields.go.
package scopefile
