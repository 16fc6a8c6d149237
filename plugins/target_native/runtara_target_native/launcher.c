/* Becomes the Python that is inside this file, running the program at the end of this file.
 *
 * The tree is unpacked once for each user and each content, to <parent>/runtara-native-<uid>/<hash of the content>, where
 * <parent> is the first of $TMPDIR, /tmp, /var/tmp and the working directory that can hold it. Whoever unpacks holds a lock
 * on that folder, so many starts at once unpack once; `.whole` is written last, after everything else has reached the disk.
 * Every start looks at the size of every file: what a cleaner of temporary files has taken is put back.
 *
 * Then the process becomes the dynamic loader of the tree (no other process stays behind, no file is left by a kill), which
 * loads the tree's Python with the tree's libraries only. Nothing of the machine is used but the kernel. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#define WHOLE ".whole"
#define FAILED 1

__asm__(".section .rodata\n"
        "tree_index: .incbin \"index\"\n"
        ".byte 0\n"
        "tree_content: .incbin \"content\"\n"
        "tree_end: .byte 0\n"
        ".previous\n");
extern const char tree_index[];
extern const unsigned char tree_content[], tree_end[];

struct entry {
    mode_t mode;
    off_t size;
    char path[PATH_MAX];
};

/* The entry at a place of the index, and the place of the next one; NULL at the end. */
static const char *read_entry(const char *at, struct entry *entry)
{
    char *rest;
    size_t length;

    if (*at == 0)
        return NULL;
    entry->mode = strtoul(at, &rest, 8);
    entry->size = strtoll(rest + 1, &rest, 10);
    rest++;
    length = strcspn(rest, "\n");
    memcpy(entry->path, rest, length);
    entry->path[length] = 0;
    return rest + length + 1;
}

static int is_whole(int root)
{
    struct entry entry;
    struct stat found;
    const char *at = tree_index;

    if (faccessat(root, WHOLE, F_OK, 0) < 0)
        return 0;
    while ((at = read_entry(at, &entry)) != NULL)
        if (fstatat(root, entry.path, &found, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(found.st_mode) ||
            found.st_size != entry.size)
            return 0;
    return 1;
}

static int make_parents(int root, char *path)
{
    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdirat(root, path, 0700) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return 0;
}

static int write_all(int file, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, data, size);
        if (written < 0)
            return -1;
        data += written;
        size -= written;
    }
    return 0;
}

static int unpack_file(int root, struct entry *entry, z_stream *stream)
{
    static unsigned char buffer[1 << 16];
    int file;

    if (make_parents(root, entry->path) < 0 || (unlinkat(root, entry->path, 0) < 0 && errno != ENOENT))
        return -1;
    file = openat(root, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry->mode);
    if (file < 0)
        return -1;
    while (entry->size > 0) {
        size_t wanted = entry->size < (off_t)sizeof buffer ? (size_t)entry->size : sizeof buffer;
        stream->next_out = buffer;
        stream->avail_out = wanted;
        while (stream->avail_out > 0) {
            int answer = inflate(stream, Z_NO_FLUSH);
            if (answer != Z_OK && !(answer == Z_STREAM_END && stream->avail_out == 0)) {
                errno = EILSEQ;
                return -1;
            }
        }
        if (write_all(file, buffer, wanted) < 0)
            return -1;
        entry->size -= wanted;
    }
    return close(file);
}

static int unpack(int root)
{
    struct entry entry;
    const char *at = tree_index;
    z_stream stream = {.next_in = (unsigned char *)tree_content, .avail_in = tree_end - tree_content};
    int marker;

    if (flock(root, LOCK_EX) < 0)
        return -1;
    if (is_whole(root)) /* another start has unpacked it meanwhile */
        return flock(root, LOCK_UN);
    if ((unlinkat(root, WHOLE, 0) < 0 && errno != ENOENT) || inflateInit(&stream) != Z_OK)
        return -1;
    while ((at = read_entry(at, &entry)) != NULL)
        if (unpack_file(root, &entry, &stream) < 0)
            return -1;
    inflateEnd(&stream);
    if (syncfs(root) < 0)
        return -1;
    marker = openat(root, WHOLE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (marker < 0 || close(marker) < 0)
        return -1;
    return flock(root, LOCK_UN);
}

/* Puts the tree below `parent` and its path into `root`; -1 and errno if it cannot be there. */
static int settle(const char *parent, char *root)
{
    struct statvfs system;
    struct stat folder;
    int descriptor;

    if (parent[0] != '/') {
        errno = EINVAL;
        return -1;
    }
    if (statvfs(parent, &system) < 0)
        return -1;
    if (system.f_flag & ST_NOEXEC) {
        errno = ENOEXEC;
        return -1;
    }
    if (snprintf(root, PATH_MAX, "%s/runtara-native-%u", strcmp(parent, "/") ? parent : "", geteuid()) >= PATH_MAX - 64) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdir(root, 0700) < 0 && errno != EEXIST)
        return -1;
    if (lstat(root, &folder) < 0)
        return -1;
    if (!S_ISDIR(folder.st_mode) || folder.st_uid != geteuid() || (folder.st_mode & 022)) {
        errno = EPERM; /* somebody else may write there: what it holds could be anything */
        return -1;
    }
    strcat(root, "/" TREE);
    if (mkdir(root, 0700) < 0 && errno != EEXIST)
        return -1;
    descriptor = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
        return -1;
    if (!is_whole(descriptor) && unpack(descriptor) < 0) {
        int reason = errno;
        close(descriptor);
        errno = reason;
        return -1;
    }
    return close(descriptor);
}

static int find_root(char *root)
{
    static char here[PATH_MAX];
    const char *parents[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", getcwd(here, sizeof here)};
    int reasons[4];

    for (int i = 0; i < 4; i++) {
        if (parents[i] != NULL && settle(parents[i], root) == 0)
            return 0;
        reasons[i] = errno;
    }
    fputs("runtara: cannot unpack the program's Python; set TMPDIR to a folder that can be written to and executed from\n", stderr);
    for (int i = 0; i < 4; i++)
        if (parents[i] != NULL)
            fprintf(stderr, "runtara: %s: %s\n", parents[i],
                    reasons[i] == ENOEXEC ? "mounted with noexec"
                    : reasons[i] == EPERM ? "runtara-native-<uid> in it is not this user's alone"
                                          : strerror(reasons[i]));
    return -1;
}

int main(int count, char **arguments)
{
    static char root[PATH_MAX], loader[2 * PATH_MAX], python[2 * PATH_MAX], libraries[2 * PATH_MAX], certificates[2 * PATH_MAX];
    const char *image = (const char *)getauxval(AT_EXECFN);
    char *fixed[] = {(char *)image, "--inhibit-cache", "--library-path", libraries, "--argv0", python, python,
                     "-I", "-S", "-X", "utf8", (char *)image};
    size_t number = sizeof fixed / sizeof *fixed;
    char **all = calloc(number + count + 1, sizeof *all);
    mode_t mask = umask(077);

    if (all == NULL || find_root(root) < 0)
        return FAILED;
    umask(mask);
    snprintf(loader, sizeof loader, "%s/" LOADER, root);
    snprintf(python, sizeof python, "%s/" PYTHON, root);
    snprintf(libraries, sizeof libraries, "%s/" LIBRARIES, root);
    snprintf(certificates, sizeof certificates, "%s/" CERTIFICATES, root);
    if (!getenv("SSL_CERT_FILE") && !getenv("SSL_CERT_DIR") && access(SYSTEM_CERTIFICATES_FILE, R_OK) < 0 &&
        access(SYSTEM_CERTIFICATES_FOLDER, R_OK) < 0)
        setenv("SSL_CERT_FILE", certificates, 1);
    memcpy(all, fixed, sizeof fixed);
    if (count > 1)
        memcpy(all + number, arguments + 1, (count - 1) * sizeof *all);
    execv(loader, all);
    fprintf(stderr, "runtara: cannot execute %s: %s\n", loader, strerror(errno));
    return FAILED;
}
