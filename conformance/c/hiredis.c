/* What a program on hiredis does. */
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char why[512];

static redisContext *open_connection(void) {
	struct timeval timeout = {10, 0};
	redisContext *c = redisConnectWithTimeout(getenv("REDIS_HOST"), atoi(getenv("REDIS_PORT")), timeout);
	if (c == NULL || c->err) {
		fprintf(stderr, "cannot connect: %s\n", c ? c->errstr : "no memory");
		exit(1);
	}
	redisSetTimeout(c, timeout);
	freeReplyObject(redisCommand(c, "AUTH %s", getenv("REDIS_KEY")));
	return c;
}

/* is runs a command and compares its reply, written as text, with want. */
static int is(redisContext *c, const char *want, const char *format, ...) {
	char got[256] = "";
	va_list args;
	va_start(args, format);
	redisReply *r = redisvCommand(c, format, args);
	va_end(args);
	if (r == NULL) {
		snprintf(got, sizeof got, "%s", c->errstr);
	} else if (r->type == REDIS_REPLY_INTEGER) {
		snprintf(got, sizeof got, "%lld", r->integer);
	} else if (r->type == REDIS_REPLY_ARRAY) {
		for (size_t i = 0; i < r->elements && strlen(got) < 200; i++) {
			redisReply *e = r->element[i];
			size_t at = strlen(got);
			if (e->type == REDIS_REPLY_INTEGER)
				snprintf(got + at, sizeof got - at, "%s%lld", i ? " " : "", e->integer);
			else
				snprintf(got + at, sizeof got - at, "%s%s", i ? " " : "", e->str ? e->str : "(nil)");
		}
	} else {
		snprintf(got, sizeof got, "%s", r->type == REDIS_REPLY_NIL ? "(nil)" : r->str);
	}
	if (r != NULL)
		freeReplyObject(r);
	if (strcmp(got, want) == 0)
		return 1;
	snprintf(why, sizeof why, "%s: got %s, want %s", format, got, want);
	return 0;
}

static void say(const char *feature, int ok) { printf(ok ? "ok %s\n" : "FAIL %s %s\n", feature, why); }

static int pipeline(redisContext *c) {
	for (int i = 0; i < 1000; i++)
		redisAppendCommand(c, "INCR hiredis:n");
	for (int i = 1; i <= 1000; i++) {
		redisReply *r = NULL;
		if (redisGetReply(c, (void **)&r) != REDIS_OK || r->integer != i) {
			snprintf(why, sizeof why, "reply %d is %lld", i, r ? r->integer : -1);
			return 0;
		}
		freeReplyObject(r);
	}
	return 1;
}

static int scan(redisContext *c) {
	for (int i = 0; i < 500; i++)
		freeReplyObject(redisCommand(c, "SET hiredis:scan:%d x", i));
	char cursor[32] = "0";
	size_t found = 0;
	do {
		redisReply *r = redisCommand(c, "SCAN %s MATCH hiredis:scan:* COUNT 100", cursor);
		if (r == NULL || r->type != REDIS_REPLY_ARRAY)
			return 0;
		snprintf(cursor, sizeof cursor, "%s", r->element[0]->str);
		found += r->element[1]->elements;
		freeReplyObject(r);
	} while (strcmp(cursor, "0") != 0);
	snprintf(why, sizeof why, "%zu keys", found);
	return found == 500;
}

int main(void) {
	printf("version %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
	redisContext *c = open_connection(), *other = open_connection();
	say("connect", is(c, "PONG", "PING") && is(c, "OK", "SET hiredis:a 1") && is(c, "1", "GET hiredis:a"));

	redisReply *id = redisCommand(c, "CLIENT ID");
	int ok = is(other, "1", "CLIENT KILL ID %lld", id->integer);
	freeReplyObject(id);
	redisReply *gone = redisCommand(c, "GET hiredis:a");
	if (gone != NULL) {
		snprintf(why, sizeof why, "a killed connection answers");
		freeReplyObject(gone);
		ok = 0;
	}
	redisFree(c);
	c = open_connection();
	say("reconnect", ok && is(c, "1", "GET hiredis:a"));

	freeReplyObject(redisCommand(c, "DEL hiredis:n"));
	say("pipeline", pipeline(c));

	ok = is(c, "OK", "SET hiredis:t 1") && is(c, "OK", "MULTI") && is(c, "QUEUED", "INCR hiredis:t") && is(c, "QUEUED", "GET hiredis:t") && is(c, "2 2", "EXEC");
	ok = ok && is(c, "OK", "WATCH hiredis:t") && is(other, "3", "INCR hiredis:t") && is(c, "OK", "MULTI") && is(c, "QUEUED", "INCR hiredis:t") && is(c, "(nil)", "EXEC");
	say("transaction", ok);

	redisAppendCommand(c, "BLPOP hiredis:l 0");
	int done = 0;
	while (!done)
		redisBufferWrite(c, &done);
	usleep(100000);
	ok = is(other, "1", "RPUSH hiredis:l x");
	redisReply *popped = NULL;
	ok = ok && redisGetReply(c, (void **)&popped) == REDIS_OK && popped->elements == 2 && strcmp(popped->element[1]->str, "x") == 0;
	say("blocking", ok);

	ok = is(c, "subscribe hiredis:c 1", "SUBSCRIBE hiredis:c") && is(other, "1", "PUBLISH hiredis:c hello");
	redisReply *message = NULL;
	ok = ok && redisGetReply(c, (void **)&message) == REDIS_OK && message->elements == 3 && strcmp(message->element[2]->str, "hello") == 0;
	say("pub/sub", ok && is(c, "unsubscribe hiredis:c 0", "UNSUBSCRIBE hiredis:c") && is(c, "1", "GET hiredis:a"));

	ok = is(c, "1z", "EVAL %s 1 hiredis:a z", "return redis.call('get', KEYS[1]) .. ARGV[1]");
	say("scripts", ok && is(c, "NOSCRIPT No matching script. Please use EVAL.", "EVALSHA ffffffffffffffffffffffffffffffffffffffff 0"));
	say("scan", scan(c));
	return 0;
}
