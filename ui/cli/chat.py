"""The commands that serve the chat page and manage its accounts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from rag.config import Config
from rag.errors import AddressError, ConfigError, ModelError, cut
from ui.cli.terminal import IndexDir, ModelAddress, ModelName, announce, complain, errors_as_lines, say
from ui.wording import writer_label

if TYPE_CHECKING:
    from rag.chain import Chain
    from ui.server.app import Service, Site
    from ui.server.loading import LoadingChain


chat_app = typer.Typer()


@chat_app.command()
def chat(
    index: IndexDir = None,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every address of this machine.", show_default=True)
    ] = "127.0.0.1",
    auth_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Require a login with an account from this file.")
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Let everyone who can reach the address ask.")] = False,
    root_path: Annotated[
        str,
        typer.Option(metavar="URL", help="Public URL or path behind a proxy: https://news.example/ask or /ask."),
    ] = "",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Another host name to accept; may be repeated."),
    ] = None,
    queue_size: Annotated[int, typer.Option(min=1, help="The most questions that may wait.")] = 200,
    mcp: Annotated[bool, typer.Option("--mcp", help="Offer ask and search as MCP tools.")] = False,
    llm: ModelName = None,
    llm_url: ModelAddress = None,
) -> None:
    """Serve the chat page, on this machine only by default; Ctrl-C stops it.

    Language models that run on this machine can be selected on the page.
    """
    from ui.server.app import serve
    from ui.server.loading import LoadingChain

    with errors_as_lines():
        service = replace(
            _service(host, port, auth_file, root_path, queue_size), allowed_hosts=_allowed_hosts(allowed_host or [])
        )
        fixed = _for_anybody(service, no_auth=no_auth)
        say("Opening the index …", err=True)
        config = Config.load(index=index, llm=llm, llm_base_url=llm_url)
        chain = LoadingChain.from_config(config)
        if fixed:
            complain(f"everyone who can reach {host} can ask; articles are added and removed in the terminal only")
        service = replace(service, megabytes=0 if fixed else config.source_megabytes)
        serve(lambda: _site(chain, config, service, mcp=mcp), service, partial(announce, known=service.root))


def _service(host: str, port: int, auth_file: Path | None, root: str, queue_size: int) -> Service:
    from ui.server.accounts import Accounts
    from ui.server.app import Service

    whole = urlsplit(root)
    if root and not (root.startswith("/") or (whole.scheme in {"http", "https"} and whole.hostname)):
        raise ConfigError(f"{cut(root)!r} is no --root-path; give a path such as /ask, or a full https:// URL")
    accounts = Accounts.read(auth_file) if auth_file else None
    return Service(host, port, root.rstrip("/"), queue_size=queue_size, accounts=accounts)


def _allowed_hosts(names: Sequence[str]) -> tuple[str, ...]:
    from ui.server.hosts import allowed_host

    return tuple(map(allowed_host, names))


def _for_anybody(service: Service, *, no_auth: bool) -> bool:
    """Whether people without an account can reach the page; AddressError unless --no-auth allows it."""
    from ui.server.app import is_own

    if service.accounts and no_auth:
        raise ConfigError("--auth-file and --no-auth exclude each other; leave one out")
    if service.accounts or is_own(service.host):
        return False
    if not no_auth:
        raise AddressError(
            f"others can reach {cut(service.host)}; give --auth-file FILE (made by pullquote account FILE NAME), or "
            "--no-auth to let everyone ask"
        )
    return True


def _site(chain: LoadingChain, config: Config, service: Service, *, mcp: bool) -> Site:
    from eval.pairs.reading import sample_questions
    from ingest.updater import Model
    from ui.page.app import build_app
    from ui.page.view import Stores
    from ui.server.app import Site
    from ui.server.mcp import mcp_app
    from ui.services.api import Endpoints
    from ui.services.article_list import ArticleList
    from ui.services.chat import Openers
    from ui.services.history import ServerHistory
    from ui.services.uploads import Uploads

    model = Model(config.embedding_model, chain.retriever.embedder)
    stores = Stores(
        ServerHistory.beside(config.index) if service.accounts else None,
        Uploads(config, chain.index, model) if service.megabytes else None,
    )
    others, lengths = _other_writers(chain, config), (config.sentences, config.hits)
    openers = Openers(chain, sample_questions)

    def examples() -> Sequence[str]:
        """Questions to begin with: without the model, which finds them in most articles, only the sample ones."""
        return sample_questions(chain.index) if chain.is_loading else openers()

    page = build_app(chain, examples, others, lengths, stores)
    tools = mcp_app(Endpoints(chain, ArticleList(chain.index))) if mcp else None
    return Site(page, chain.index.counts, tools, chain.load)


def _other_writers(chain: Chain, config: Config) -> dict[str, Chain]:
    """The other choices for writing answers: none, and the models that run on this machine."""
    from rag.models.servers import local_llms

    others = {writer_label(""): chain.without_llm()} if chain.model else {}
    for name, url in local_llms():
        if name != config.llm:
            with suppress(ModelError):  # its client library is not installed
                others[writer_label(name, found=True)] = chain.with_llm(replace(config, llm=name, llm_base_url=url))
    return others


@chat_app.command()
def account(
    file: Annotated[Path, typer.Argument(help="The accounts file; created if it does not exist.")],
    name: Annotated[str, typer.Argument(help="The account’s name.")],
) -> None:
    """Create an account for the chat page, or change its password; only a hash is written.

    Restart a running chat to apply it. To remove an account, delete its line.
    """
    from ui.server.accounts import write_account

    with errors_as_lines():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        write_account(file, name, password)
        say(f"{name} can log in to: pullquote chat --auth-file {shlex.quote(str(file))}")
