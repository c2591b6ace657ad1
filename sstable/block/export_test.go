package block

// Bytes returns the bytes that b is a view of.
func Bytes(b *Block) []byte { return b.p }
