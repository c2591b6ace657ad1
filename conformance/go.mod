module github.com/loamdb/loam/conformance

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/ethereum/go-ethereum v1.17.10
	github.com/ipfs/go-datastore v0.9.2
	github.com/loamdb/loam v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/ipfs/go-detect-race v0.0.1 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/vmihailenco/msgpack/v5 v5.4.1 // indirect
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/loamdb/loam => ../
