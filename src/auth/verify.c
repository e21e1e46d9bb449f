/* verify.c: password hashes on pool threads. Called by exchange.c. */
#include "auth/verify.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct verify {
    struct loop *loop;
    struct loop_pool *pool;
};

struct job {
    verify_done *done;
    void *ctx;
    enum err err;
    struct verify_proof *proof; /* NULL: a password */
    struct password_form form;  /* slices into text */
    struct slice password;
    size_t text_len;
    uint8_t text[];
};

struct verify *verify_new(struct loop *loop, unsigned threads)
{
    struct verify *verify = mem_zero(1, sizeof *verify);
    verify->loop = loop;
    verify->pool = loop_pool_new(loop, "password", threads);
    return verify;
}

void verify_free(struct verify **verify)
{
    if (!*verify)
        return;
    loop_pool_free(&(*verify)->pool);
    free(*verify);
    *verify = NULL;
}

struct loop_pool *verify_pool(struct verify *verify)
{
    return verify->pool;
}

size_t verify_waiting(const struct verify *verify)
{
    return loop_pool_pending(verify->pool);
}

static enum err check_proof(struct verify_proof *p)
{
    enum err err = ERR_OK;
    if (p->password.len)
        err = scram_derive(p->password, &p->verifier);
    return err ? err : scram_verify_proof(&p->verifier, p->auth_message, p->proof, p->signature);
}

static void work(void *arg)
{
    struct job *job = arg;
    job->err = job->proof ? check_proof(job->proof) : password_verify(&job->form, job->password);
}

static void finish(void *arg)
{
    struct job *job = arg;
    job->done(job->ctx, job->err);
    mem_wipe(job->text, job->text_len);
    free(job);
}

static struct slice keep(struct job *job, struct slice text)
{
    uint8_t *at = job->text + job->text_len;
    if (text.len)
        memcpy(at, text.ptr, text.len);
    job->text_len += text.len;
    return slice_make(at, text.len);
}

enum err verify_password(struct verify *verify, const struct account *account, struct slice password,
                         verify_done *done, void *ctx)
{
    if (verify_waiting(verify) >= VERIFY_WAITING_MAX)
        return ERR_LATER;
    const struct password_form *form = &account->form;
    struct job *job = mem_zero(1, sizeof *job + form->scheme.len + form->body.len + password.len);
    job->done = done;
    job->ctx = ctx;
    job->form.kind = form->kind;
    job->form.scheme = keep(job, form->scheme);
    job->form.body = keep(job, form->body);
    job->password = keep(job, password);
    loop_pool_run(verify->pool, work, finish, job);
    return ERR_OK;
}

enum err verify_scram(struct verify *verify, struct verify_proof *proof, verify_done *done, void *ctx)
{
    if (verify_waiting(verify) >= VERIFY_WAITING_MAX)
        return ERR_LATER;
    struct job *job = mem_zero(1, sizeof *job);
    job->done = done;
    job->ctx = ctx;
    job->proof = proof;
    loop_pool_run(verify->pool, work, finish, job);
    return ERR_OK;
}
