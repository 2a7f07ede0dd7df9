/* How the remote service would be reached: which settings are there, never what they hold. Nothing is called.
 */
#include "doctor/checks.h"

#include "rpc/base_url.h"
#include "rpc/credentials.h"

#include <stdio.h>
#include <stdlib.h>

void check_address(void)
{
	static const char *const variables[] = {"CWSANDBOX_BASE_URL", "AVIATO_BASE_URL"};
	const char *from = "the service's own", *value;
	char url[300];
	struct error err;

	if (base_url_find(doctor_source(), url, sizeof url, &err)) {
		say(CHECK_FAIL, "%s", err.text);
		return;
	}
	for (int i = 1; i >= 0; i--)
		if ((value = getenv(variables[i])) && *value)
			from = variables[i];
	if (doctor_source()[0] == 'h')
		from = "as given";
	say(CHECK_OK, "%s (%s)", url, from);
}

void check_credentials(void)
{
	struct credentials c;
	struct error err;

	if (credentials_find(NULL, &c, &err)) {
		say(CHECK_FAIL, "%s", err.text);
		return;
	}
	say(CHECK_OK, "from %s", c.source);
	credentials_free(&c);
}
