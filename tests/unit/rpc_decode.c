/* What comes over the wire: base64, envelopes, errors and their details, numbers; and what is read at mount
 * time. */
#include "rpc/base64.h"
#include "rpc/base_url.h"
#include "rpc/credentials.h"
#include "rpc/envelope.h"
#include "rpc/json.h"
#include "rpc/netrc.h"
#include "rpc/protobuf.h"
#include "rpc/status.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Base64 --- */

static void test_base64(void **state)
{
	static const struct {
		const char *plain, *encoded;
	} known[] = {{"", ""},	      {"f", "Zg=="},	    {"fo", "Zm8="},
		     {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xfb\xff", "+/8="}};
	uint8_t bytes[300], back[BASE64_DECODED(400)];
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		size_t len = strlen(known[i].plain);

		base64_encode(known[i].plain, len, text);
		assert_memory_equal(text, known[i].encoded, BASE64_ENCODED(len));
	}
	for (size_t len = 0; len < sizeof bytes; len++) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(i * 37 + len);
		base64_encode(bytes, len, text);
		assert_int_equal(base64_decode(text, BASE64_ENCODED(len), back), len);
		assert_memory_equal(back, bytes, len);
	}
	assert_int_equal(base64_decode("-_8", 3, back), 2); /* the other alphabet, no padding */
	assert_memory_equal(back, "\xfb\xff", 2);
	assert_int_equal(base64_decode("Zg", 2, back), 1);
	assert_int_equal(base64_decode("A", 1, back), -EPROTO);
	assert_int_equal(base64_decode("AA\nA", 4, back), -EPROTO);
	assert_int_equal(base64_decode("Z=AA", 4, back), -EPROTO);
	assert_int_equal(base64_decode("AAA\x80", 4, back), -EPROTO);
}

/* --- Envelopes --- */

static void test_envelope(void **state)
{
	struct envelope e;
	struct buf out;
	ssize_t at;

	(void)state;
	buf_init(&out, 1000);
	at = envelope_begin(&out);
	buf_puts(&out, "{\"a\":1}");
	envelope_finish(&out, (size_t)at);
	at = envelope_begin(&out);
	envelope_finish(&out, (size_t)at);
	assert_int_equal(out.len, 17);
	for (size_t n = 0; n < 12; n++)
		assert_int_equal(envelope_parse(out.data, n, &e), 0);
	assert_int_equal(envelope_parse(out.data, out.len, &e), 12);
	assert_int_equal(e.len, 7);
	assert_memory_equal(e.payload, "{\"a\":1}", 7);
	assert_int_equal(envelope_parse(out.data + 12, 5, &e), 5);
	assert_int_equal(e.len, 0);
	assert_int_equal(envelope_parse("\x02\0\0\0\0", 5, &e), 5);
	assert_int_equal(e.flags, ENVELOPE_END);
	assert_int_equal(envelope_parse("\x04\0\0\0\0", 5, &e), -EPROTO);
	assert_int_equal(envelope_parse("\0\xff\xff\xff\xff", 5, &e), -EPROTO);
	buf_free(&out);
}

/* --- JSON --- */

/* A long text of one value is taken, one of as many as it has room for is not. */
static void assert_many_values(void)
{
	size_t len = 4u << 20;
	char *text = malloc(len);
	cJSON *o;

	memset(text, 'x', len);
	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + len - 2, "\"}", 2);
	o = json_parse_object(text, len);
	assert_non_null(o);
	cJSON_Delete(o);
	for (size_t i = 0; i < len; i += 2)
		memcpy(text + i, "0,", 2);
	memcpy(text, "{\"a\":[0", 7);
	memcpy(text + len - 3, "0]}", 3);
	assert_null(json_parse_object(text, len));
	free(text);
}

static void test_json(void **state)
{
	static const char text[] =
	    "{\"big\":\"9223372036854775807\",\"huge\":\"18446744073709551615\",\"small\":7,"
	    "\"half\":1.5,\"word\":\"x\",\"sandbox_id\":\"s\",\"none\":null,\"tail\":\"7 \"}";
	cJSON *o = json_parse_object(text, sizeof text - 1);
	uint64_t u = 0;
	int64_t i = 0;

	(void)state;
	assert_non_null(o);
	assert_true(json_int64(o, "big", &i) && i == INT64_MAX);
	assert_false(json_int64(o, "huge", &i));
	assert_true(json_uint64(o, "huge", &u) && u == UINT64_MAX);
	assert_true(json_int64(o, "small", &i) && i == 7);
	assert_false(json_int64(o, "half", &i));
	assert_false(json_int64(o, "word", &i));
	assert_false(json_int64(o, "tail", &i));
	assert_false(json_int64(o, "absent", &i));
	assert_string_equal(json_text(o, "sandboxId"), "s");
	assert_null(json_get(o, "none"));
	assert_string_equal(json_text(NULL, "x"), "");
	cJSON_Delete(o);
	assert_null(json_parse_object("[1]", 3));
	assert_null(json_parse_object("{} x", 4));
	assert_null(json_parse_object("{\"a\":\"\0\"}", 9));
	assert_null(json_parse_object("", 0));
	assert_many_values();
	assert_null(json_parse_object("{\"a\":\"0123456789\xff\"}", 19));
	assert_null(json_parse_object("{\"a\":\"\xc3\"}", 9));
	assert_null(json_parse_object("{\"a\":\"\xed\xa0\x80\"}", 11)); /* a surrogate */
	o = json_parse_object("{\"a\":\"0123456789\xe2\x82\xac\"}", 21);
	assert_string_equal(json_text(o, "a"), "0123456789\xe2\x82\xac");
	cJSON_Delete(o);
}

/* --- Errors --- */

static void put_field(struct buf *b, unsigned number, const char *data, size_t len)
{
	char head[2] = {(char)(number << 3 | 2), (char)len};

	buf_append(b, head, 2);
	buf_append(b, data, len);
}

static void detail(cJSON *details, const char *type, const void *data, size_t len)
{
	cJSON *d = cJSON_CreateObject();
	char text[400] = "";

	base64_encode(data, len, text);
	while (strlen(text) && text[strlen(text) - 1] == '=')
		text[strlen(text) - 1] = '\0';
	cJSON_AddStringToObject(d, "type", type);
	cJSON_AddStringToObject(d, "value", text);
	cJSON_AddItemToArray(details, d);
}

static void test_status(void **state)
{
	struct rpc_status s = {.request_id = "r"};
	cJSON *error = cJSON_CreateObject(), *details;
	struct buf info, entry;

	(void)state;
	buf_init(&info, 300);
	buf_init(&entry, 100);
	cJSON_AddStringToObject(error, "code", "failed_precondition");
	cJSON_AddStringToObject(error, "message", "too\x1b[31m large");
	details = cJSON_AddArrayToObject(error, "details");
	put_field(&info, 1, "CWSANDBOX_FILE_TOO_LARGE", 24);
	put_field(&info, 2, "cwsandbox.com", 13);
	put_field(&entry, 1, "max_size_bytes", 14);
	put_field(&entry, 2, "33554432", 8);
	put_field(&info, 3, entry.data, entry.len);
	buf_append(&info, "\x48\x05", 2); /* a field of tomorrow */
	detail(details, "type.googleapis.com/google.rpc.ErrorInfo", info.data, info.len);
	detail(details, "google.rpc.RetryInfo", "\x0a\x07\x08\x02\x10\x80\xca\xb5\xee\x01",
	       9); /* cut: only its seconds */
	detail(details, "google.rpc.BadRequest",
	       "\x0a\x0a\x0a\x03"
	       "cpu\x12\x03neg",
	       12);
	detail(details, "google.rpc.Unknown", "\xff\xff", 2);
	rpc_status_decode(error, RPC_UNKNOWN, &s);
	assert_int_equal(s.code, RPC_FAILED_PRECONDITION);
	assert_string_equal(s.message, "too?[31m large");
	assert_string_equal(s.reason, "CWSANDBOX_FILE_TOO_LARGE");
	assert_true(s.trusted);
	assert_int_equal(s.max_size_bytes, 33554432);
	assert_string_equal(s.violations, "cpu: neg");
	assert_string_equal(s.request_id, "r");
	cJSON_Delete(error);
	buf_free(&info);
	buf_free(&entry);
}

/* What of a message gets to a terminal. */
static void test_status_printable(void **state)
{
	static const struct {
		const char *said, *shown;
	} cases[] = {
	    {"caf\xc3\xa9, \xe2\x82\xac", "caf\xc3\xa9, \xe2\x82\xac"},
	    {"a\nb\x1b[1m\x7f", "a?b?[1m?"},
	    {"\xc2\x9b"
	     "31m",
	     "??31m"}, /* CSI as one character */
	    {"\xff\xfe\xc3", "???"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rpc_status s = {0};
		cJSON *error = cJSON_CreateObject();

		cJSON_AddStringToObject(error, "message", cases[i].said);
		rpc_status_decode(error, RPC_INTERNAL, &s);
		assert_string_equal(s.message, cases[i].shown);
		cJSON_Delete(error);
	}
}

static void test_status_foreign(void **state)
{
	struct rpc_status s = {0};
	cJSON *error = cJSON_CreateObject(), *details = cJSON_AddArrayToObject(error, "details");
	struct buf info;

	(void)state;
	buf_init(&info, 300);
	put_field(&info, 1, "X", 1);
	put_field(&info, 2, "cwsandbox.com.evil.org", 22);
	detail(details, "google.rpc.ErrorInfo", info.data, info.len);
	detail(details, "google.rpc.RetryInfo", "\x0a\x04\x08\x02\x10\x01", 6);
	rpc_status_decode(error, RPC_UNAVAILABLE, &s);
	assert_int_equal(s.code, RPC_UNAVAILABLE);
	assert_string_equal(s.reason, "X");
	assert_false(s.trusted);
	assert_int_equal(s.retry_ms, 2001);
	cJSON_Delete(error);
	buf_free(&info);
}

/* --- .netrc --- */

static void test_netrc(void **state)
{
	char password[64];

	(void)state;
	assert_int_equal(
	    netrc_password("machine a login l password \"p w\"\nmachine b password q", "a", password, 64), 0);
	assert_string_equal(password, "p w");
	assert_int_equal(
	    netrc_password(
		"# machine b password no\nmachine a password x\nmachine b\n\tlogin z\n\tpassword q\\ r\n",
		"b", password, 64),
	    0);
	assert_string_equal(password, "q r");
	assert_int_equal(netrc_password("macdef m\nmachine b password no\n\ndefault login u password d", "b",
					password, 64),
			 0);
	assert_string_equal(password, "d");
	assert_int_equal(netrc_password("machine a password x", "b", password, 64), -ENOENT);
	assert_int_equal(netrc_password("", "b", password, 64), -ENOENT);
	assert_int_equal(netrc_password("machine", "b", password, 64), -EINVAL);
	assert_int_equal(netrc_password("machine b nonsense x password y", "b", password, 64), -EINVAL);
	assert_int_equal(netrc_password("machine b password \"y", "b", password, 64), -EINVAL);
	assert_int_equal(netrc_password("machine b password 12345678", "b", password, 8), -EINVAL);
}

/* --- Credentials --- */

static const char *const variables[] = {"CWSANDBOX_API_KEY", "AVIATO_API_KEY",	   "WANDB_API_KEY",
					"WANDB_ENTITY_NAME", "WANDB_ENTITY",	   "WANDB_PROJECT_NAME",
					"WANDB_PROJECT",     "CWSANDBOX_BASE_URL", "AVIATO_BASE_URL"};
static char home[] = "/tmp/aviatofs-unit.XXXXXX", netrc[64], token[64];

static int clean(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	unlink(netrc);
	unlink(token);
	return 0;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static void finds(const char *file, const char *first_header, const char *source)
{
	struct credentials c;
	struct error err;

	assert_int_equal(credentials_find(file, &c, &err), 0);
	assert_string_equal(c.headers[0], first_header);
	assert_string_equal(c.source, source);
	credentials_free(&c);
	assert_null(c.headers[0]);
}

static void refuses(const char *file, int code, const char *words)
{
	struct credentials c;
	struct error err;

	assert_int_equal(credentials_find(file, &c, &err), -code);
	assert_non_null(strstr(err.text, words));
	assert_null(strstr(err.text, "s3cret"));
}

static void test_credentials_order(void **state)
{
	(void)state;
	refuses(NULL, ENOKEY, "CWSANDBOX_API_KEY");
	write_file(netrc, "machine api.wandb.ai login user password n", 0600);
	refuses(NULL, ENOKEY, "WANDB_ENTITY_NAME");
	setenv("WANDB_ENTITY", "e", 1);
	finds(NULL, "x-api-key: n", "~/.netrc");
	setenv("WANDB_API_KEY", "w", 1);
	finds(NULL, "x-api-key: w", "WANDB_API_KEY");
	assert_string_equal(getenv("WANDB_API_KEY"), ""); /* wiped */
	setenv("WANDB_API_KEY", "w", 1);
	setenv("AVIATO_API_KEY", "a", 1);
	finds(NULL, "Authorization: Bearer a", "AVIATO_API_KEY");
	setenv("AVIATO_API_KEY", "a", 1);
	setenv("CWSANDBOX_API_KEY", " c\n", 1);
	finds(NULL, "Authorization: Bearer c", "CWSANDBOX_API_KEY");
	assert_string_equal(getenv("AVIATO_API_KEY"), ""); /* also what was not used */
	write_file(token, "f\nanything", 0600);
	finds(token, "Authorization: Bearer f", token);
}

static void wandb_headers(const char *entity, const char *project)
{
	char want_entity[64], want_project[64];
	struct credentials c;
	struct error err;

	setenv("WANDB_API_KEY", "w", 1);
	assert_int_equal(credentials_find(NULL, &c, &err), 0);
	snprintf(want_entity, sizeof want_entity, "x-entity-id: %s", entity);
	snprintf(want_project, sizeof want_project, "x-project-name: %s", project);
	assert_string_equal(c.headers[0], "x-api-key: w");
	assert_string_equal(c.headers[1], "x-wandb-api-key: w");
	assert_string_equal(c.headers[2], want_entity);
	assert_string_equal(c.headers[3], want_project);
	credentials_free(&c);
}

static void test_credentials_wandb(void **state)
{
	(void)state;
	setenv("WANDB_ENTITY", "today", 1);
	wandb_headers("today", "uncategorized");
	setenv("WANDB_PROJECT", "now", 1);
	wandb_headers("today", "now");
	setenv("WANDB_ENTITY_NAME", "seed", 1);
	setenv("WANDB_PROJECT_NAME", "then", 1);
	wandb_headers("seed", "then");
	write_file(netrc, "machine wandb.ai password second", 0600);
	finds(NULL, "x-api-key: second", "~/.netrc");
	write_file(netrc, "machine wandb.ai password second machine api.wandb.ai password first", 0600);
	finds(NULL, "x-api-key: first", "~/.netrc");
}

static void test_credentials_refused(void **state)
{
	static char long_text[5000] = "";

	(void)state;
	memset(long_text, 'k', sizeof long_text - 1);
	write_file(token, long_text, 0600);
	refuses(token, ENOKEY, "holds no key");
	setenv("CWSANDBOX_API_KEY", long_text, 1);
	refuses(NULL, ENOKEY, "CWSANDBOX_API_KEY holds no key");
	unsetenv("CWSANDBOX_API_KEY");
	setenv("WANDB_API_KEY", "s3cret", 1);
	setenv("WANDB_ENTITY", "team\nx-evil: 1", 1);
	refuses(NULL, EINVAL, "entity is no name");
	setenv("WANDB_API_KEY", "s3cret", 1);
	setenv("WANDB_ENTITY", long_text, 1);
	refuses(NULL, EINVAL, "entity is no name");
	clean(state);
	setenv("CWSANDBOX_API_KEY", "s3cret\r\nx-evil: 1", 1);
	refuses(NULL, ENOKEY, "CWSANDBOX_API_KEY holds no key");
	write_file(token, "s3cret", 0640);
	refuses(token, EACCES, "chmod 600");
	refuses("/nonexistent/token", ENOENT, "/nonexistent/token");
	write_file(netrc, "machine api.wandb.ai password s3cret", 0644);
	refuses(NULL, EACCES, ".netrc");
	write_file(netrc, "nonsense", 0600);
	refuses(NULL, ENOKEY, "no credentials");
}

static void test_base_url(void **state)
{
	static const char *const good[] = {"https://h",		  "https://h:8443",
					   "http://127.0.0.1:80", "http://localhost:1",
					   "http://[::1]:8080",	  "https://[2001:db8::1]"};
	static const char *const bad[] = {
	    "https://",		  "https://h/p", "https://u:p@h", "https://h:0", "https://h:99999",
	    "http://example.org", "https://h?x", "https://h#x",	  "https://a b", "http://127.evil.org:80"};
	struct error err;
	char url[256];

	(void)state;
	assert_int_equal(base_url_find("aviato:", url, sizeof url, &err), 0);
	assert_string_equal(url, "https://api.cwsandbox.com");
	setenv("AVIATO_BASE_URL", "https://old//", 1);
	assert_int_equal(base_url_find("aviato:", url, sizeof url, &err), 0);
	assert_string_equal(url, "https://old");
	setenv("CWSANDBOX_BASE_URL", "https://new", 1);
	assert_int_equal(base_url_find("aviato:", url, sizeof url, &err), 0);
	assert_string_equal(url, "https://new");
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(base_url_find(good[i], url, sizeof url, &err), 0);
		assert_string_equal(url, good[i]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(base_url_find(bad[i], url, sizeof url, &err), -EINVAL);
	setenv("CWSANDBOX_BASE_URL", "ftp://new", 1);
	assert_int_equal(base_url_find("aviato:", url, sizeof url, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_envelope),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_status),
	    cmocka_unit_test(test_status_printable),
	    cmocka_unit_test(test_status_foreign),
	    cmocka_unit_test(test_netrc),
	    cmocka_unit_test_setup_teardown(test_credentials_order, clean, clean),
	    cmocka_unit_test_setup_teardown(test_credentials_wandb, clean, clean),
	    cmocka_unit_test_setup_teardown(test_credentials_refused, clean, clean),
	    cmocka_unit_test_setup_teardown(test_base_url, clean, clean),
	};
	int rc;

	if (!mkdtemp(home))
		return 1;
	setenv("HOME", home, 1);
	snprintf(netrc, sizeof netrc, "%s/.netrc", home);
	snprintf(token, sizeof token, "%s/token", home);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(home);
	return rc;
}
