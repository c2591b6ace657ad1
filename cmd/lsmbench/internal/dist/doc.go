// Package dist decides, for every operation of a workload, which record it touches, how
// long the record's key and value are, and what they contain.
//
//   - A Chooser picks a record of [0, n): evenly, by Zipf's law, the newest first, in
//     order. ParseChooser knows their names.
//   - A Size is a distribution of lengths; ParseSize knows their names.
//   - A Keyspace writes the keys of records, and keys that lie between them and are
//     missing. YCSBKey writes the keys that YCSB would.
//   - Values are bytes of given lengths that compress to a given fraction.
//   - A Permutation visits every record once in random order.
//
// Everything is a function of numbers and of the generator that is passed in, so that
// the same seed gives the same workload. Nothing that runs for each operation allocates.
//
// YCSB is the Yahoo! Cloud Serving Benchmark: B. Cooper and others, "Benchmarking Cloud
// Serving Systems with YCSB", SoCC 2010.
//
// Reading order: chooser.go, zipf.go, size.go, corpus.go, keyspace.go, values.go,
// permutation.go, hash.go.
package dist
