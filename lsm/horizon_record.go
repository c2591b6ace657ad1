package lsm

import (
	"encoding/binary"
	"time"

	"github.com/loamdb/loam/internal/codec"
)

// The record of a horizon, docs/formats/directory.md:
//
//	key: system scope id · 6 · name
//	value: 1 · position [29]byte · set i64 (unix ms, little endian) · state u8
const horizonValueLen = 1 + positionLen + 8 + 1

func horizonKey(name string) []byte { return append([]byte{byte(recordHorizon)}, name...) }

func horizonValue(h Horizon) []byte {
	value, _ := h.Position.AppendBinary([]byte{recordVersion}) // its error is nil
	value = binary.LittleEndian.AppendUint64(value, uint64(h.Set.UnixMilli()))
	return append(value, byte(h.State))
}

// decodeHorizon decodes a record, given its key within the system scope.
func decodeHorizon(key, value []byte) (Horizon, error) {
	rest, err := checkRecord(value)
	if err != nil {
		return Horizon{}, err
	}
	if len(key) < 2 || len(value) != horizonValueLen {
		return Horizon{}, directoryError(codec.ErrTruncated)
	}
	h := Horizon{Name: string(key[1:])}
	if err := h.Position.UnmarshalBinary(rest[:positionLen]); err != nil {
		return Horizon{}, directoryError(err)
	}
	d := codec.NewDecoder(rest[positionLen:])
	h.Set = time.UnixMilli(int64(d.Uint64()))
	h.State = HorizonState(d.Uint8())
	if h.State > HorizonTooLarge {
		return Horizon{}, directoryError(codec.ErrMalformed)
	}
	return h, nil
}
