package block

// HeadPadding returns by how much entry i's key ends before its head does.
func HeadPadding(b *Block, i int) int { return max(headLen-b.suffixLen(i), 0) }

// Bytes returns the bytes that b is a view of.
func Bytes(b *Block) []byte { return b.p }
