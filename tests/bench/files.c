/*
 * bench-files DIRECTORY [ONLY]: what a directory's files cost. Prints "KEY VALUE", a line for each row; of
 * MB/s and operations per second more is better, of seconds and microseconds less. Medians of three.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MIB	   (1u << 20)
#define FILE_MIB   128
#define RANDOM_OPS 4000
#define THREADS	   8
#define FILES	   2000
#define RUNS	   3

static char *block;

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench-files: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_big(int flags)
{
	int fd = open("big", flags, 0600);

	must(fd >= 0, "big");
	return fd;
}

/* --- Data; each returns seconds for the whole --- */

static double write_all(void)
{
	double since = now();
	int fd = open_big(O_WRONLY | O_CREAT | O_TRUNC);

	for (int i = 0; i < FILE_MIB; i++)
		must(write(fd, block, MIB) == MIB, "write");
	must(fsync(fd) == 0 && close(fd) == 0, "fsync");
	return now() - since;
}

static double read_all(void)
{
	double since = now();
	int fd = open_big(O_RDONLY);

	for (int i = 0; i < FILE_MIB; i++)
		must(read(fd, block, MIB) == MIB, "read");
	close(fd);
	return now() - since;
}

/* Drops the pages of the mount; those of a file system below stay, so that the way is measured and no disk.
 */
static void cool(void)
{
	int fd = open_big(O_RDONLY);

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

static double read_cold(void)
{
	cool();
	return read_all();
}

static double map_cold(void)
{
	volatile unsigned sum = 0;
	double since;
	unsigned char *map;
	int fd;

	cool();
	since = now();
	fd = open_big(O_RDONLY);
	map = mmap(NULL, (size_t)FILE_MIB * MIB, PROT_READ, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED, "mmap");
	for (size_t i = 0; i < (size_t)FILE_MIB * MIB; i += 4096)
		sum += map[i];
	munmap(map, (size_t)FILE_MIB * MIB);
	close(fd);
	return now() - since;
}

static void *random_reads(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	char page[4096];
	int fd = open_big(O_RDONLY);

	for (int i = 0; i < RANDOM_OPS; i++) {
		off_t at = (off_t)(rand_r(&seed) % (FILE_MIB * 256)) * 4096;

		must(pread(fd, page, sizeof page, at) == sizeof page, "pread");
	}
	close(fd);
	return NULL;
}

static double random_one(void)
{
	double since;

	cool();
	since = now();
	random_reads((void *)1);
	return now() - since;
}

static double random_many(void)
{
	pthread_t threads[THREADS];
	double since;

	cool();
	since = now();
	for (uintptr_t i = 0; i < THREADS; i++)
		must(pthread_create(&threads[i], NULL, random_reads, (void *)(i + 1)) == 0, "thread");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return now() - since;
}

/* --- Names --- */

static void in_tree(char *path, int i)
{
	sprintf(path, "tree/%02d/file%d", i % 20, i);
}

static double create_files(void)
{
	double since = now();
	char path[64];

	mkdir("tree", 0755);
	for (int i = 0; i < 20; i++) {
		sprintf(path, "tree/%02d", i);
		must(mkdir(path, 0755) == 0, path);
	}
	for (int i = 0; i < FILES; i++) {
		int fd;

		in_tree(path, i);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		must(fd >= 0 && write(fd, block, 1024) == 1024 && close(fd) == 0, path);
	}
	return now() - since;
}

static double stat_files(void)
{
	double since = now();
	struct stat st;
	char path[64];

	for (int i = 0; i < FILES; i++) {
		in_tree(path, i);
		must(lstat(path, &st) == 0, path);
	}
	return now() - since;
}

/* As ls -lR and find do. */
static double list_files(void)
{
	double since = now();

	for (int i = 0; i < 20; i++) {
		char path[64];
		struct dirent *e;
		struct stat st;
		DIR *dir;

		sprintf(path, "tree/%02d", i);
		dir = opendir(path);
		must(dir != NULL, path);
		while ((e = readdir(dir)))
			must(fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0, e->d_name);
		closedir(dir);
	}
	return now() - since;
}

static double read_files(void)
{
	double since = now();
	char path[64];

	for (int i = 0; i < FILES; i++) {
		int fd;

		in_tree(path, i);
		fd = open(path, O_RDONLY);
		must(fd >= 0 && read(fd, block, 4096) == 1024 && close(fd) == 0, path);
	}
	return now() - since;
}

static double remove_files(void)
{
	double since = now();
	char path[64];

	for (int i = 0; i < FILES; i++) {
		in_tree(path, i);
		must(unlink(path) == 0, path);
	}
	for (int i = 0; i < 20; i++) {
		sprintf(path, "tree/%02d", i);
		must(rmdir(path) == 0, path);
	}
	return now() - since;
}

/* --- */

enum unit { RATE, MICROSECONDS, OPERATIONS, SECONDS };

static const struct {
	const char *key;
	double (*run)(void);
	enum unit unit;
} rows[] = {
    {"write+fsync", write_all, RATE},	     {"read-cold", read_cold, RATE},
    {"read-warm", read_all, RATE},	     {"mmap-cold", map_cold, RATE},
    {"random-4k", random_one, MICROSECONDS}, {"random-4k-8", random_many, OPERATIONS},
    {"create", create_files, SECONDS},	     {"stat", stat_files, SECONDS},
    {"list+stat", list_files, SECONDS},	     {"read-small", read_files, SECONDS},
    {"remove", remove_files, SECONDS},
};
#define ROWS (sizeof rows / sizeof *rows)

static int ascending(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double in_unit(enum unit unit, double seconds)
{
	switch (unit) {
	case RATE:
		return FILE_MIB * 1.048576 / seconds;
	case MICROSECONDS:
		return seconds / RANDOM_OPS * 1e6;
	case OPERATIONS:
		return THREADS * RANDOM_OPS / seconds;
	default:
		return seconds;
	}
}

int main(int argc, char **argv)
{
	double times[ROWS][RUNS];

	if (argc != 2 || chdir(argv[1]) < 0)
		return 2;
	block = malloc(MIB);
	must(block != NULL, "memory");
	memset(block, 'x', MIB);
	for (int run = 0; run < RUNS; run++)
		for (size_t i = 0; i < ROWS; i++)
			times[i][run] = rows[i].run();
	unlink("big");
	rmdir("tree");
	for (size_t i = 0; i < ROWS; i++) {
		qsort(times[i], RUNS, sizeof(double), ascending);
		printf("%s %.4g %s\n", rows[i].key, in_unit(rows[i].unit, times[i][RUNS / 2]),
		       rows[i].unit == RATE || rows[i].unit == OPERATIONS ? "more" : "less");
	}
	return 0;
}
