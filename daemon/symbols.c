/*
 * Names for addresses, from the symbol tables of the files that the process was made of.
 *
 * A file is only read when a name is asked for, and only if it is the one that was there when the
 * program started: after an upgrade there may be another at its place. What is in it is not
 * trusted: each offset is checked.
 */
#include "config.h"
#include "daemon/symbols.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <glib.h>

typedef struct Module {
    char *path;
    char *name;       /* the last part of it */
    uintptr_t offset; /* of its addresses in memory from those in the file */
    uintptr_t begin, end;
    dev_t device;
    ino_t inode;
} Module;

static GArray *modules; /* of Module; constant once made */

static int add_module(struct dl_phdr_info *info, size_t size, void *opaque)
{
    Module module = { .offset = info->dlpi_addr, .begin = UINTPTR_MAX };
    /* The program itself has no name here. */
    bool is_program = info->dlpi_name[0] == '\0';
    struct stat st;

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];

        if (header->p_type == PT_LOAD) {
            module.begin = MIN(module.begin, info->dlpi_addr + header->p_vaddr);
            module.end = MAX(module.end, info->dlpi_addr + header->p_vaddr + header->p_memsz);
        }
    }
    if (is_program && modules->len > 0) {
        return 0; /* nor has the kernel's own library */
    }
    module.path = g_strdup(is_program ? "/proc/self/exe" : info->dlpi_name);
    module.name = is_program ? g_strdup(PACKAGE_NAME) : g_path_get_basename(info->dlpi_name);
    if (stat(module.path, &st) == 0) {
        module.device = st.st_dev;
        module.inode = st.st_ino;
    }
    g_array_append_val(modules, module);
    return 0;
}

void symbols_init(void)
{
    if (!modules) {
        modules = g_array_new(FALSE, FALSE, sizeof(Module));
        dl_iterate_phdr(add_module, NULL);
    }
}

static const Module *find_module(uintptr_t address)
{
    for (guint i = 0; modules && i < modules->len; i++) {
        const Module *module = &g_array_index(modules, Module, i);

        if (module->begin <= address && address < module->end) {
            return module;
        }
    }
    return NULL;
}

/* ---- a file of the format ELF ---- */

typedef struct ElfFile {
    const char *data;
    size_t size;
    const ElfW(Shdr) * sections;
    size_t n_sections;
} ElfFile;

/* @count things of @size bytes at @offset, which are all there; or NULL. */
static const void *elf_part(const ElfFile *elf, uint64_t offset, size_t count, size_t size,
                            size_t alignment)
{
    if (offset > elf->size || offset % alignment != 0 || count > (elf->size - offset) / size) {
        return NULL;
    }
    return elf->data + offset;
}

static bool elf_open(ElfFile *elf, const char *data, size_t size)
{
    const ElfW(Ehdr) * header;

    *elf = (ElfFile){ .data = data, .size = size };
    header = elf_part(elf, 0, 1, sizeof(*header), 1);
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shentsize != sizeof(ElfW(Shdr))) {
        return false;
    }
    elf->n_sections = header->e_shnum;
    elf->sections =
        elf_part(elf, header->e_shoff, elf->n_sections, sizeof(ElfW(Shdr)), _Alignof(ElfW(Shdr)));
    return elf->sections != NULL;
}

static const ElfW(Shdr) * elf_section(const ElfFile *elf, unsigned type)
{
    for (size_t i = 0; i < elf->n_sections; i++) {
        if (elf->sections[i].sh_type == type && elf->sections[i].sh_link < elf->n_sections) {
            return &elf->sections[i];
        }
    }
    return NULL;
}

/* "FUNCTION+OFFSET" of @address out of a table of symbols, or NULL. */
static char *elf_function_in(const ElfFile *elf, const ElfW(Shdr) * table, uintptr_t address)
{
    const ElfW(Shdr) *strings = &elf->sections[table->sh_link];
    size_t count = table->sh_size / sizeof(ElfW(Sym));
    const ElfW(Sym) *symbols =
        elf_part(elf, table->sh_offset, count, sizeof(ElfW(Sym)), _Alignof(ElfW(Sym)));
    const char *names = elf_part(elf, strings->sh_offset, strings->sh_size, 1, 1);

    for (size_t i = 0; symbols && names && i < count; i++) {
        const ElfW(Sym) *symbol = &symbols[i];

        /* ELF64_ST_TYPE() is the same for both classes. */
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
            address - symbol->st_value < symbol->st_size && symbol->st_name < strings->sh_size) {
            return g_strdup_printf(
                "%.*s+0x%" G_GINTPTR_MODIFIER "x",
                (int)strnlen(names + symbol->st_name, strings->sh_size - symbol->st_name),
                names + symbol->st_name, address - (uintptr_t)symbol->st_value);
        }
    }
    return NULL;
}

static char *elf_function(const ElfFile *elf, uintptr_t address)
{
    static const unsigned tables[] = { SHT_SYMTAB, SHT_DYNSYM };

    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++) {
        const ElfW(Shdr) *table = elf_section(elf, tables[i]);
        char *function = table ? elf_function_in(elf, table, address) : NULL;

        if (function) {
            return function;
        }
    }
    return NULL;
}

/* "FUNCTION+OFFSET" of @address in the file of @module, or NULL. */
static char *find_function(const Module *module, uintptr_t address)
{
    g_autoptr(GMappedFile) file = NULL;
    struct stat st;
    ElfFile elf;

    if (stat(module->path, &st) != 0 || st.st_dev != module->device || st.st_ino != module->inode) {
        return NULL;
    }
    file = g_mapped_file_new(module->path, FALSE, NULL);
    if (!file ||
        !elf_open(&elf, g_mapped_file_get_contents(file), g_mapped_file_get_length(file))) {
        return NULL;
    }
    return elf_function(&elf, address);
}

char *symbols_describe(const void *address, bool is_return)
{
    const Module *module = find_module((uintptr_t)address);
    g_autofree char *function = NULL;
    uintptr_t offset;

    if (!module) {
        return g_strdup_printf("%p", address);
    }
    offset = (uintptr_t)address - module->offset - (is_return ? 1 : 0);
    function = find_function(module, offset);
    return function ? g_strdup_printf("%s (%s+0x%" G_GINTPTR_MODIFIER "x)", function, module->name,
                                      offset)
                    : g_strdup_printf("%s+0x%" G_GINTPTR_MODIFIER "x", module->name, offset);
}
