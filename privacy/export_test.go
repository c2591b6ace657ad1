package privacy

// Candidates returns what every detector finds in s, before overlaps are resolved.
func Candidates(s string) []Finding {
	var out []Finding
	for _, c := range find(nil, s, 1<<Field-1) {
		out = append(out, Finding{Detector: c.detector, Start: c.start, End: c.end})
	}
	return out
}

// IBANLength returns the length of the account numbers of a country, or 0.
func IBANLength(country string) int {
	return int(ibanLens[int(country[0]-'A')*26+int(country[1]-'A')])
}

// Sensitive and Assigned tell what names say.
func Sensitive(name string) bool { return sensitive(name) }

// Assigned reports whether a name in a text makes a secret of the value after it, and
// whether of one that people choose.
func Assigned(name string) (secret, password bool) {
	kind := assigned(name)
	return kind != namePlain, kind == namePassword
}

// CallingCode reports whether the calling code is assigned.
func CallingCode(code int) bool { return callingCode(code) }

// MarkEnd returns where the mark ends that begins at i, or 0.
func MarkEnd(s string, i int) int {
	m, _ := markAt(s, i)
	return m.end
}
