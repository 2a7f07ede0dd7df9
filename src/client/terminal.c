#include "client/terminal.h"

#include <stdatomic.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static atomic_bool entered;

bool terminal_size(unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		return false;
	*ret_columns = size.ws_col;
	*ret_rows = size.ws_row;
	return size.ws_col && size.ws_row;
}

void terminal_enter(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return;
	raw = before;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0)
		atomic_store(&entered, true);
}

bool terminal_leave(void)
{
	bool was = atomic_exchange(&entered, false);

	if (was)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	return was;
}
