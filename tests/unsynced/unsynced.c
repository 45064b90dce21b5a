/* Loaded into a process by LD_PRELOAD: remembers, in a folder beside the files, how to take back every write to them that
 * was not yet synced. What is synced is forgotten. tests/unsynced/_undo.py takes the rest back once the process was killed.
 *
 *   UNSYNCED_FOLDER   the files below it are watched, real path
 *   UNSYNCED_PATTERN  those whose name matches this (fnmatch), and does not end in -shm
 *   UNSYNCED_SIDE     where the undo logs go, on the same file system
 *   UNSYNCED_KILL_BEFORE_SYNC, UNSYNCED_KILL_AFTER_SYNC   the number of the sync at which the process kills itself
 *
 * <side>/<device>-<inode>.undo   records of a file, oldest first, empty after fsync or fdatasync
 * <side>/<device>-<inode>.names  names made, removed and changed in a directory, a line each, S for its fsync
 * <side>/held-<n>                what a removed or replaced name led to
 * <side>/caught                  counters, shared by all processes; <side>/alive is locked by each of them
 *
 * A log is locked (flock) from before the old bytes are read until after the write or sync, so threads and processes
 * take turns on a file. The watched files themselves are never opened here: closing them would drop SQLite's locks. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC 0x64636e79736e7521ULL
#define ROOM (PATH_MAX + 64)

struct record {
    uint64_t magic, kind, offset, length, old_size, old_length; /* then old_length bytes, then `struct end` */
};
struct end {
    uint64_t total, magic;
};
enum { WRITE = 0, RESIZE = 1 };

struct caught {
    uint64_t processes, writes, bytes, syncs, names, name_syncs, held;
};

static char folder[PATH_MAX], pattern[256], side[PATH_MAX];
static uint64_t kill_before, kill_after;
static struct caught *caught;

static void fault(const char *what, const char *path) {
    char line[ROOM + 256], place[ROOM];
    int length = snprintf(line, sizeof line, "%s: %s (%s)\n", path, what, strerror(errno));
    snprintf(place, sizeof place, "%s/faults", side);
    int fd = syscall(SYS_openat, AT_FDCWD, place, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    syscall(SYS_write, fd, line, length);
    syscall(SYS_write, 2, line, length);
    abort();
}

static void count(uint64_t *counter, uint64_t by) { __atomic_add_fetch(counter, by, __ATOMIC_SEQ_CST); }

static uint64_t number(const char *name) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("UNSYNCED_FOLDER"), *named = getenv("UNSYNCED_PATTERN"), *beside = getenv("UNSYNCED_SIDE");
    char place[ROOM];
    if (!at || !named || !beside) return;
    snprintf(folder, sizeof folder, "%s/", at);
    snprintf(pattern, sizeof pattern, "%s", named);
    snprintf(side, sizeof side, "%s", beside);
    kill_before = number("UNSYNCED_KILL_BEFORE_SYNC");
    kill_after = number("UNSYNCED_KILL_AFTER_SYNC");
    snprintf(place, sizeof place, "%s/caught", side);
    int fd = syscall(SYS_openat, AT_FDCWD, place, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) fault("cannot be opened", place);
    caught = (void *)syscall(SYS_mmap, NULL, sizeof *caught, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (caught == MAP_FAILED) fault("cannot be mapped", place);
    syscall(SYS_close, fd);
    snprintf(place, sizeof place, "%s/alive", side);
    fd = syscall(SYS_openat, AT_FDCWD, place, O_RDONLY | O_CLOEXEC, 0);
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 200); /* out of the way of programs that count on low numbers */
    if (high < 0 || flock(high, LOCK_SH | LOCK_NB) != 0) fault("cannot be locked", place);
    syscall(SYS_close, fd);
    count(&caught->processes, 1);
}

/* Which files. */

static int name_matches(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strlen(name);
    if (length >= 4 && !strcmp(name + length - 4, "-shm")) return 0;
    return caught && fnmatch(pattern, name, 0) == 0;
}

static int watched_path(const char *path) {
    size_t length = strlen(side);
    if (!caught || strncmp(path, folder, strlen(folder)) != 0 || !name_matches(path)) return 0;
    return strncmp(path, side, length) != 0 || path[length] != '/';
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int watched(int fd, char *path) {
    int before = errno;
    int found = caught && path_of(fd, path) && watched_path(path);
    errno = before;
    return found;
}

/* The real path of a name that may not exist; its folder must. False where it is not watched, or there is none. */
static int resolved(int at, const char *path, char *out) {
    char whole[2 * PATH_MAX], base[PATH_MAX], real[PATH_MAX];
    int before = errno, found = 0;
    if (!caught || !name_matches(path)) return 0;
    if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
    else if (at == AT_FDCWD) snprintf(whole, sizeof whole, "./%s", path);
    else if (path_of(at, base)) snprintf(whole, sizeof whole, "%s/%s", base, path);
    else return 0;
    char *slash = strrchr(whole, '/');
    *slash = 0;
    if (realpath(slash == whole ? "/" : whole, real))
        found = snprintf(out, PATH_MAX, "%s/%s", real, slash + 1) < PATH_MAX && watched_path(out);
    errno = before;
    return found;
}

/* Logs. */

static int locked_log(const struct stat *of, const char *suffix) {
    char place[ROOM];
    snprintf(place, sizeof place, "%s/%llx-%llx%s", side, (unsigned long long)of->st_dev, (unsigned long long)of->st_ino,
             suffix);
    int log = syscall(SYS_openat, AT_FDCWD, place, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) fault("its undo log cannot be opened", place);
    while (flock(log, LOCK_EX) != 0)
        if (errno != EINTR) fault("its undo log cannot be locked", place);
    return log;
}

/* A process killed while it wrote a record leaves a torn one, of a write that never began. */
static void trim(int log, const char *path) {
    struct stat now;
    struct end end;
    struct record record;
    off_t good = 0;
    if (fstat(log, &now) != 0) fault("its undo log cannot be read", path);
    if (now.st_size == 0) return;
    if (pread(log, &end, sizeof end, now.st_size - (off_t)sizeof end) == sizeof end && end.magic == MAGIC) return;
    while (pread(log, &record, sizeof record, good) == sizeof record && record.magic == MAGIC) {
        off_t next = good + (off_t)(sizeof record + record.old_length + sizeof end);
        if (next > now.st_size) break;
        good = next;
    }
    if (syscall(SYS_ftruncate, log, good) != 0) fault("its undo log cannot be mended", path);
}

static void append(int log, const char *path, const void *data, size_t length) {
    if (syscall(SYS_write, log, data, length) != (ssize_t)length) fault("its undo log cannot be written", path);
}

/* Remembers [offset, offset + length), or all from offset on for RESIZE; returns the locked log. */
static int remember(int fd, const char *path, int kind, off_t offset, size_t length) {
    struct stat now;
    if (fstat(fd, &now) != 0) fault("cannot be examined", path);
    int log = locked_log(&now, ".undo");
    if (fstat(fd, &now) != 0) fault("cannot be examined", path); /* as it is now that no other changes it */
    if (kind == WRITE && offset < 0) offset = now.st_size;
    size_t old = offset < now.st_size ? (size_t)(now.st_size - offset) : 0;
    if (kind == WRITE && old > length) old = length;
    struct record head = {MAGIC, kind, offset, length, now.st_size, old};
    struct end end = {sizeof head + old + sizeof end, MAGIC};
    char *whole = malloc(end.total);
    if (!whole) fault("no memory for its undo record", path);
    memcpy(whole, &head, sizeof head);
    if (pread(fd, whole + sizeof head, old, offset) != (ssize_t)old) fault("its old bytes cannot be read", path);
    memcpy(whole + sizeof head + old, &end, sizeof end);
    trim(log, path);
    append(log, path, whole, end.total);
    free(whole);
    count(&caught->writes, 1);
    count(&caught->bytes, length);
    return log;
}

static void release(int log) {
    int before = errno;
    syscall(SYS_close, log);
    errno = before;
}

/* Where write() will write; -1 for the end. */
static off_t position(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_APPEND) ? -1 : lseek(fd, 0, SEEK_CUR);
}

static void note_name(const char *path, const char *format, ...) {
    char line[3 * ROOM], parent[PATH_MAX];
    struct stat directory;
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    if (stat(parent, &directory) != 0) fault("its directory cannot be examined", path);
    int log = locked_log(&directory, ".names");
    append(log, path, line, strlen(line));
    release(log);
    count(&caught->names, 1);
}

/* Keeps what a name leads to, before the name goes; false where it leads nowhere. */
static int hold(const char *path, char *held) {
    unsigned long long mine = __atomic_add_fetch(&caught->held, 1, __ATOMIC_SEQ_CST);
    snprintf(held, ROOM, "%s/held-%llu", side, mine);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, held, 0) == 0) return 1;
    if (errno != ENOENT) fault("cannot be kept when its name goes", path);
    return 0;
}

/* Writes. */

#define REMEMBERED(fd, kind, offset, length, call)                                                                    \
    do {                                                                                                              \
        char path[PATH_MAX];                                                                                          \
        if (!watched(fd, path)) return call;                                                                          \
        int log = remember(fd, path, kind, offset, length);                                                           \
        long done = call;                                                                                             \
        release(log);                                                                                                 \
        return done;                                                                                                  \
    } while (0)

static size_t total(const struct iovec *pieces, int n) {
    size_t sum = 0;
    for (int i = 0; i < n; i++) sum += pieces[i].iov_len;
    return sum;
}

ssize_t write(int fd, const void *data, size_t n) {
    REMEMBERED(fd, WRITE, position(fd), n, syscall(SYS_write, fd, data, n));
}

ssize_t writev(int fd, const struct iovec *pieces, int n) {
    REMEMBERED(fd, WRITE, position(fd), total(pieces, n), syscall(SYS_writev, fd, pieces, n));
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) {
    REMEMBERED(fd, WRITE, offset, n, syscall(SYS_pwrite64, fd, data, n, offset));
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int n, off64_t offset) {
    REMEMBERED(fd, WRITE, offset, total(pieces, n), syscall(SYS_pwritev, fd, pieces, n, offset, 0));
}

ssize_t pwritev64v2(int fd, const struct iovec *pieces, int n, off64_t offset, int flags) {
    if (flags & RWF_APPEND) offset = -1;
    REMEMBERED(fd, WRITE, offset == -1 ? position(fd) : offset, total(pieces, n),
               syscall(SYS_pwritev2, fd, pieces, n, offset, 0, flags));
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t n) {
    REMEMBERED(to, WRITE, position(to), n, syscall(SYS_sendfile, to, from, offset, n));
}

ssize_t copy_file_range(int from, off64_t *in, int to, off64_t *out, size_t n, unsigned flags) {
    REMEMBERED(to, WRITE, out ? *out : position(to), n, syscall(SYS_copy_file_range, from, in, to, out, n, flags));
}

int ftruncate64(int fd, off64_t size) { REMEMBERED(fd, RESIZE, size, 0, syscall(SYS_ftruncate, fd, size)); }

int fallocate64(int fd, int mode, off64_t offset, off64_t n) {
    char path[PATH_MAX];
    if ((mode & ~FALLOC_FL_KEEP_SIZE) && watched(fd, path)) fault("fallocate in a mode that cannot be undone", path);
    REMEMBERED(fd, WRITE, offset, 0, syscall(SYS_fallocate, fd, mode, offset, n));
}

int posix_fallocate64(int fd, off64_t offset, off64_t n) { return fallocate64(fd, 0, offset, n) == 0 ? 0 : errno; }

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t offset) {
    char path[PATH_MAX];
    int shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
    if (fd >= 0 && shared && (protection & PROT_WRITE) && watched(fd, path))
        fault("mapped for writing, which cannot be undone", path);
    return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
}

/* Syncs. */

static void kill_at(uint64_t which, uint64_t now) {
    if (which == now) syscall(SYS_kill, getpid(), SIGKILL);
}

static int synced(int fd, long call) {
    char path[PATH_MAX];
    struct stat now;
    int before = errno;
    if (!caught || fstat(fd, &now) != 0 || !path_of(fd, path)) return errno = before, syscall(call, fd);
    if (S_ISDIR(now.st_mode) && strncmp(path, folder, strlen(folder) - 1) == 0) {
        int log = locked_log(&now, ".names");
        int done = syscall(call, fd);
        if (done == 0) append(log, path, "S\n", 2), count(&caught->name_syncs, 1);
        return release(log), done;
    }
    if (!watched_path(path)) return errno = before, syscall(call, fd);
    uint64_t mine = __atomic_add_fetch(&caught->syncs, 1, __ATOMIC_SEQ_CST);
    kill_at(kill_before, mine);
    int log = locked_log(&now, ".undo");
    int done = syscall(call, fd);
    if (done == 0 && syscall(SYS_ftruncate, log, 0) != 0) fault("its undo log cannot be emptied", path);
    release(log);
    kill_at(kill_after, mine);
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* Names. */

static int opened(int at, const char *path, int flags, mode_t mode) {
    char real[PATH_MAX];
    struct stat now;
    if (!caught || !name_matches(path)) return syscall(SYS_openat, at, path, flags, mode);
    if ((flags & O_ACCMODE) == O_WRONLY) flags = (flags & ~O_ACCMODE) | O_RDWR; /* to read what is overwritten */
    int made = 0, fd, plain = flags & ~O_TRUNC;
    if (!(flags & O_CREAT) || (flags & O_EXCL)) {
        fd = syscall(SYS_openat, at, path, plain, mode);
        made = fd >= 0 && (flags & O_CREAT);
    } else {
        do {
            fd = syscall(SYS_openat, at, path, plain & ~O_CREAT, mode);
            if (fd >= 0 || errno != ENOENT) break;
            fd = syscall(SYS_openat, at, path, plain | O_EXCL, mode);
            made = fd >= 0;
        } while (fd < 0 && errno == EEXIST);
    }
    if (fd < 0) return fd;
    if (!watched(fd, real)) {
        if (flags & O_TRUNC) syscall(SYS_ftruncate, fd, 0);
        return fd;
    }
    if (made) note_name(real, "C\t%s\n", real);
    if ((flags & O_TRUNC) && fstat(fd, &now) == 0 && now.st_size > 0 && ftruncate64(fd, 0) != 0)
        fault("cannot be emptied", real);
    return fd;
}

#define OPENED(at, path, flags)                                                                                       \
    do {                                                                                                              \
        mode_t mode = 0;                                                                                              \
        if (((flags)&O_CREAT) || ((flags)&O_TMPFILE) == O_TMPFILE) {                                                  \
            va_list values;                                                                                           \
            va_start(values, flags);                                                                                  \
            mode = va_arg(values, mode_t);                                                                            \
            va_end(values);                                                                                           \
        }                                                                                                             \
        return opened(at, path, flags, mode);                                                                         \
    } while (0)

int open(const char *path, int flags, ...) { OPENED(AT_FDCWD, path, flags); }
int open64(const char *path, int flags, ...) { OPENED(AT_FDCWD, path, flags); }
int openat(int at, const char *path, int flags, ...) { OPENED(at, path, flags); }
int openat64(int at, const char *path, int flags, ...) { OPENED(at, path, flags); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int unlinkat(int at, const char *path, int flags) {
    char real[PATH_MAX], held[ROOM];
    if (!(flags & AT_REMOVEDIR) && resolved(at, path, real) && hold(real, held)) note_name(real, "U\t%s\t%s\n", real, held);
    return syscall(SYS_unlinkat, at, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int remove(const char *path) {
    int done = unlinkat(AT_FDCWD, path, 0);
    return done != 0 && errno == EISDIR ? (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR) : done;
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    char first[PATH_MAX], second[PATH_MAX], held[ROOM];
    struct stat moved;
    int leaves = resolved(from, old, first), arrives = resolved(to, new, second);
    if ((leaves || arrives) && flags) fault("renamed in a way that cannot be undone", leaves ? first : second);
    if (leaves != arrives) {
        /* One of the names is not watched: what it was called there is of no interest, that the other changes is. */
        if (arrives) note_name(second, hold(second, held) ? "U\t%s\t%s\n" : "C\t%s\n", second, held);
        else if (hold(first, held)) note_name(first, "U\t%s\t%s\n", first, held);
    } else if (leaves && stat(first, &moved) == 0) {
        const char *kept = hold(second, held) ? held : "";
        note_name(second, "R\t%s\t%s\t%s\t%llu\n", first, second, kept, (unsigned long long)moved.st_ino);
    }
    return syscall(SYS_renameat2, from, old, to, new, flags);
}

int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
    char real[PATH_MAX];
    int done = syscall(SYS_linkat, from, old, to, new, flags);
    if (done == 0 && resolved(to, new, real)) note_name(real, "C\t%s\n", real);
    return done;
}

int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int truncate64(const char *path, off64_t size) {
    char real[PATH_MAX];
    if (resolved(AT_FDCWD, path, real)) fault("truncated by name, which cannot be undone", real);
    return syscall(SYS_truncate, path, size);
}

/* The same calls under the names they have where off_t is 64 bits wide. */
_Static_assert(sizeof(off_t) == 8, "64-bit only");
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) { return pwrite64(fd, data, n, offset); }
ssize_t pwritev(int fd, const struct iovec *pieces, int n, off_t offset) { return pwritev64(fd, pieces, n, offset); }
ssize_t pwritev2(int fd, const struct iovec *pieces, int n, off_t offset, int flags) {
    return pwritev64v2(fd, pieces, n, offset, flags);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t n) { return sendfile64(to, from, offset, n); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int fallocate(int fd, int mode, off_t offset, off_t n) { return fallocate64(fd, mode, offset, n); }
int posix_fallocate(int fd, off_t offset, off_t n) { return posix_fallocate64(fd, offset, n); }
void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, n, protection, flags, fd, offset);
}
int truncate(const char *path, off_t size) { return truncate64(path, size); }
