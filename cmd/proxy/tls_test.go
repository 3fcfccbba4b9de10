package main

import "testing"

// FuzzCertificateList: what is taken as a list of certificates names two files for each.
func FuzzCertificateList(f *testing.F) {
	for _, text := range []string{"[]", "", "[{cert_file: a.pem, key_file: a.key}]", "- cert_file: a\n  key_file: b\n- {}", "[{cert_file: a, key_file: b, other: c}]",
		"{cert_file: a}", "[[]]", "[null]", "&a [*a]", "[{cert_file: [1], key_file: {}}]", "a.pem:a.key", "[{cert_file: 1, key_file: 2}]\n---\n[]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var list []CertificateConfig
		if err := certificateList("tls.certificates", &list).set(text); err != nil && list != nil {
			t.Errorf("refused with %v, and yet %+v is set", err, list)
		}
		for _, pair := range list {
			if pair.CertFile == "" || pair.KeyFile == "" {
				t.Errorf("accepted %+v", list)
			}
		}
	})
}
