package main

import "context"

var tlsSection = section{
	name:  "tls",
	title: "TLS",
	about: "redis-benchmark --tls; respgate and HAProxy end TLS, plain TCP goes on to Redis. Both have one ECDSA P-256 certificate and TLS 1.3 with\n" +
		cipherSuite + " (redis-benchmark offers no other) and " + curve + ".",
	rows:    []string{pipeline},
	targets: []string{"respgate", "haproxy"},
	columns: []column{throughput, medianTime, tailTime, cpuTime,
		over("throughput / haproxy", rps, "haproxy"), over("CPU / haproxy", cpu, "haproxy")},
	open: func(ctx context.Context, b *bed) (measure, error) {
		c, err := b.newCertificate()
		if err != nil {
			return nil, err
		}
		s := b.serving()
		s.certificate = c
		all, err := b.startAll(ctx, b.targets, s)
		return func(ctx context.Context, _, name string) (sample, error) {
			u, t := usage{50, 16, 64, 0, 500_000}, all[name]
			return u.run(ctx, b.count(u.commands, u.clients), t.tlsAddr, t, "--tls", "--cacert", c.cert, "--tls-ciphersuites", cipherSuite)
		}, err
	},
}
