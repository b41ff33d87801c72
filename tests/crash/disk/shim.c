/* A disk that fails and loses power, for a process that is started with this library in LD_PRELOAD (Linux).
 *
 * What happens to the files of one folder goes through here: writes, truncations and syncs fail as a control file
 * says, and beside each file lies an image of what would outlive a power cut. Only a sync that succeeds carries what was
 * written into the image. One that fails does what Linux does: what was written counts as clean from then on, so that
 * a later sync succeeds and carries none of it.
 *
 * FAULTY_FOLDER   the folder, without links in its path
 * FAULTY_IMAGES   a folder for the images and, as NAME.dirty, for what was written since the last sync
 * FAULTY_CONTROL  a file of 24 bytes: mode, percent of the calls that fail; from 8 on how many calls there
 *                 were, from 16 on how many failed
 *
 * The system is called directly, so that nothing here comes back to itself. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum mode {
    WORKS = 'w',
    WRITE_FAILS = 'e',
    FULL = 's',
    SHORT = 'h',
    TORN = 't',
    SYNC_FAILS = 'f',
    SYNC_FAILS_AND_REVERTS = 'd',
    READ_FAILS = 'r',
    SLOW = 'l',
};

struct control {
    volatile uint8_t mode;
    volatile uint8_t percent;
    volatile uint64_t calls;
    volatile uint64_t faults;
};

/* A write, or with a length of -1 a truncation to `at`. */
struct dirty {
    int64_t at;
    int64_t len;
};

static struct control *control;
static const char *folder, *images;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t chance = 88172645463325252u;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTY_CONTROL");
    folder = getenv("FAULTY_FOLDER");
    images = getenv("FAULTY_IMAGES");
    if (!path || !folder || !images) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) return;
    control = mapped;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    chance ^= (uint64_t)now.tv_nsec << 20 ^ (uint64_t)getpid();
}

static uint64_t next_random(void) {
    chance ^= chance << 13;
    chance ^= chance >> 7;
    return chance ^= chance << 17;
}

/* The file's name in the folder; none where it lies elsewhere. */
static const char *name_in_folder(const char *path) {
    size_t len = strlen(folder);
    int is_inside = !strncmp(path, folder, len) && path[len] == '/' && path[len + 1];
    return is_inside ? path + len + 1 : NULL;
}

static const char *name_of(int fd, char *buffer) {
    if (!control || fd < 3) return NULL;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
    if (len <= 0) return NULL;
    buffer[len] = 0;
    return name_in_folder(buffer);
}

static int open_beside(const char *name, const char *suffix, int flags) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s%s", images, name, suffix);
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

/* Bytes from one file to the same place in another; the end of the one is the end of both. */
static void carry_over(int from, int to, int64_t at, int64_t len) {
    char buffer[65536];
    while (len > 0) {
        size_t part = len < (int64_t)sizeof buffer ? (size_t)len : sizeof buffer;
        ssize_t count = syscall(SYS_pread64, from, buffer, part, at);
        if (count <= 0) return;
        syscall(SYS_pwrite64, to, buffer, count, at);
        at += count;
        len -= count;
    }
}

/* The image is made before the first change: what is there then counts as synced. */
static void note(int fd, const char *name, int64_t at, int64_t len) {
    int image = open_beside(name, "", O_RDWR | O_CREAT | O_EXCL);
    if (image >= 0) {
        carry_over(fd, image, 0, INT64_MAX);
        close(image);
    }
    int log = open_beside(name, ".dirty", O_WRONLY | O_CREAT | O_APPEND);
    struct dirty dirty = {at, len};
    syscall(SYS_write, log, &dirty, sizeof dirty);
    close(log);
}

static void restore(int fd, int image, struct dirty dirty) {
    static const char zeros[65536];
    struct stat state;
    if (dirty.len < 0 || fstat(image, &state)) return;
    carry_over(image, fd, dirty.at, dirty.len);
    int64_t at = dirty.at > state.st_size ? dirty.at : state.st_size;
    for (int64_t end = dirty.at + dirty.len; at < end;) {
        size_t part = end - at < (int64_t)sizeof zeros ? (size_t)(end - at) : sizeof zeros;
        if (syscall(SYS_pwrite64, fd, zeros, part, at) <= 0) return;
        at += part;
    }
}

/* What was written since the last sync is on the disk, or never will be. */
static void settle(int fd, const char *name, int is_synced, int reverts) {
    int image = open_beside(name, "", O_RDWR), log = open_beside(name, ".dirty", O_RDWR);
    struct dirty dirty;
    while (image >= 0 && log >= 0 && syscall(SYS_read, log, &dirty, sizeof dirty) == sizeof dirty) {
        if (is_synced && dirty.len < 0) syscall(SYS_ftruncate, image, dirty.at);
        else if (is_synced) carry_over(fd, image, dirty.at, dirty.len);
        else if (reverts) restore(fd, image, dirty);
    }
    if (log >= 0) syscall(SYS_ftruncate, log, 0), close(log);
    if (image >= 0) close(image);
}

/* Whether this call is one that fails in one of these modes, and in which. */
static int fault(const char *modes) {
    control->calls++;
    int mode = control->mode;
    if (!strchr(modes, mode) || next_random() % 100 >= control->percent) return WORKS;
    control->faults++;
    return mode;
}

static ssize_t failed(int error) {
    errno = error;
    return -1;
}

/* `at` is -1 where it is the file's own position. */
static ssize_t put(int fd, const void *bytes, size_t len, int64_t at) {
    if (at < 0) return syscall(SYS_write, fd, bytes, len);
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

static ssize_t put_or_fail(int fd, const void *bytes, size_t len, int64_t at) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (!name || len == 0) return put(fd, bytes, len, at);
    pthread_mutex_lock(&lock);
    int mode = fault("esht");
    size_t part = mode == SHORT || mode == TORN ? next_random() % len : len;
    ssize_t written = -1;
    if (mode == WRITE_FAILS) errno = EIO;
    else if (mode == FULL) errno = ENOSPC;
    else {
        if (part == 0) part = 1;
        note(fd, name, at < 0 ? lseek(fd, 0, SEEK_CUR) : at, part);
        written = put(fd, bytes, part, at);
        if (mode == TORN) written = failed(EIO);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t len) { return put_or_fail(fd, bytes, len, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return put_or_fail(fd, bytes, len, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) { return put_or_fail(fd, bytes, len, at); }

static int reads_fail(int fd) {
    char path[PATH_MAX];
    if (!control || control->mode != READ_FAILS || !name_of(fd, path)) return 0;
    pthread_mutex_lock(&lock);
    int mode = fault("r");
    pthread_mutex_unlock(&lock);
    return mode == READ_FAILS;
}

ssize_t read(int fd, void *bytes, size_t len) {
    return reads_fail(fd) ? failed(EIO) : syscall(SYS_read, fd, bytes, len);
}
ssize_t pread(int fd, void *bytes, size_t len, off_t at) {
    return reads_fail(fd) ? failed(EIO) : syscall(SYS_pread64, fd, bytes, len, at);
}
ssize_t pread64(int fd, void *bytes, size_t len, off64_t at) { return pread(fd, bytes, len, at); }

static int sync_or_fail(int fd, long number) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (!name) return syscall(number, fd);
    pthread_mutex_lock(&lock);
    int mode = fault("fdl");
    int is_synced = mode != SYNC_FAILS && mode != SYNC_FAILS_AND_REVERTS;
    settle(fd, name, is_synced, mode == SYNC_FAILS_AND_REVERTS);
    uint64_t micros = mode == SLOW ? next_random() % 60000 : 500;
    pthread_mutex_unlock(&lock);
    /* What a sync costs has others gather behind it. */
    struct timespec pause = {0, (long)micros * 1000};
    nanosleep(&pause, NULL);
    return is_synced ? 0 : failed(EIO);
}

int fsync(int fd) { return sync_or_fail(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_or_fail(fd, SYS_fdatasync); }

int ftruncate64(int fd, off64_t len) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (!name) return syscall(SYS_ftruncate, fd, len);
    pthread_mutex_lock(&lock);
    int result = fault("et") != WORKS ? failed(EIO) : 0;
    if (result == 0) {
        note(fd, name, len, -1);
        result = syscall(SYS_ftruncate, fd, len);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

/* That a file is gone is taken for durable at once. */
int unlink(const char *path) {
    const char *name = control ? name_in_folder(path) : NULL;
    if (name) {
        char beside[PATH_MAX];
        pthread_mutex_lock(&lock);
        snprintf(beside, sizeof beside, "%s/%s", images, name);
        syscall(SYS_unlinkat, AT_FDCWD, beside, 0);
        snprintf(beside, sizeof beside, "%s/%s.dirty", images, name);
        syscall(SYS_unlinkat, AT_FDCWD, beside, 0);
        pthread_mutex_unlock(&lock);
    }
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
