package pool

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/tenant"
)

// FuzzParseURL: whatever stands around a password, and wherever it stands, it is in no
// error; and what is accepted can be dialled.
func FuzzParseURL(f *testing.F) {
	for _, c := range [][3]string{
		{"redis://user:", "", "@127.0.0.1:6379/0"},
		{"rediss://:", "p%2Fw", "@redis.example?ca_file=/ca.pem&cert_file=/c.pem&key_file=/k.pem&server_name=other"},
		{"redis://user:", "a/b", "@host/0"},
		{"rediss://user:12?", "x", "=1@host"},
		{"rediss://host?", "", "=1"},
		{"redis://host/", "", ""},
		{"unix://user:", "", "@/run/redis.sock?db=3"},
		{"unix:///run/redis.sock?db=", "", ""},
		{"", "", "://host"},
		{"redis://[", "", "]:6379"},
		{"redis-sentinel://u:", "", "@h1,[::1]:26380/mymaster/1?sentinel_password=x&read_from=nearest"},
		{"redis-sentinel://h1/m?sentinel_password=", "", ""},
		{"redis://u:p@h?region.", "", "=10.0.0.0/8"},
		{"rediss-cluster://:", "", "@h1:7000,h2?read_from=prefer_replica&ca_file=/ca.pem"},
	} {
		f.Add(c[0], c[1], c[2])
	}
	const mark = "Xq9Secret" // in no word of ours
	f.Fuzz(func(t *testing.T, before, password, after string) {
		b, err := ParseURL(tenant.Secret(before + mark + password + after))
		if err != nil {
			if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(mark)) {
				t.Errorf("the error repeats a part of the URL: %v", err)
			}
			return
		}
		if b.Addr == "" || b.Network != "tcp" && b.Network != "unix" || b.DB < 0 || (b.TLS.CertFile == "") != (b.TLS.KeyFile == "") {
			t.Errorf("accepted as %+v", b)
		}
		secret := strings.Contains(b.Password.Reveal(), mark) || strings.Contains(b.SentinelPassword.Reveal(), mark)
		if secret && !strings.Contains(before+after, mark) && strings.Contains(RedactURL(tenant.Secret(before+mark+password+after)), mark) {
			t.Error("the password is shown")
		}
		if b.TLS.ServerName == "" && strings.HasPrefix(before, "rediss:") {
			t.Errorf("accepted without TLS: %+v", b)
		}
	})
}
