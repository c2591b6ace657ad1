package dump

import (
	"fmt"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
)

// eachOp calls visit for every operation of a batch as the log holds it; the layout is
// in docs/formats/batch.md. Any bytes may come.
func eachOp(payload []byte, visit func(kind keys.Kind, key, value []byte)) error {
	d := codec.NewDecoder(payload)
	for d.Len() > 0 {
		kind := keys.Kind(d.Uint8())
		if d.Err() == nil && !kind.Valid() {
			return fmt.Errorf("operation of %s", kind)
		}
		key := d.LengthPrefixed()
		var value []byte
		if kind != keys.KindDelete {
			value = d.LengthPrefixed()
		}
		if err := d.Err(); err != nil {
			return err
		}
		visit(kind, key, value)
	}
	return d.Err()
}
