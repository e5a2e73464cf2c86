"""Starts servers, calls them with the client libraries of all supported APIs, and checks the responses.

Usage: python tests/clients/clients.py, in an environment with the packages of tests/clients/requirements.txt. Prints a
table of clients, versions and calls. Fails at the first unexpected response.
"""

import asyncio
import importlib.metadata
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
import urllib.request

import numpy
import trustme

from serving import LIKEWISE, READ, get, serving

TEXT = "how do bees find flowers"
OTHER = "knots and their volumes"
table = []


def record_calls(package, *calls):
    """Adds a row to the table: package, version, calls."""
    table.append((package, importlib.metadata.version(package), ", ".join(calls)))


def error_of(call, *expected):
    """Returns the exception that a client raises for a refused request. Fails if the server accepts the request."""
    try:
        call()
    except expected as error:
        return error
    raise AssertionError("the server must refuse the request")


def openai_client(address):
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key=READ, max_retries=0)
    # By default, the client requests embeddings in base64; with encoding_format="float", as lists of numbers.
    default = client.embeddings.create(model="any", input=[TEXT, OTHER])
    plain = client.embeddings.create(model="any", input=[TEXT, OTHER], encoding_format="float")
    assert len(default.data) == 2 and len(default.data[0].embedding) == 384, default
    assert numpy.allclose(default.data[1].embedding, plain.data[1].embedding, atol=1e-6)
    assert default.model == "all-MiniLM-L6-v2" and default.usage.prompt_tokens > 4, default.usage
    short = client.embeddings.create(model="any", input=TEXT, dimensions=64).data[0].embedding
    assert len(short) == 64 and abs(numpy.linalg.norm(short) - 1) < 1e-5
    error = error_of(lambda: client.embeddings.create(model="any", input=[1, 2, 3]), openai.UnprocessableEntityError)
    assert error.status_code == 422 and error.param == "input" and error.type == "invalid_request_error", error.body
    assert "check_embedding_ctx_length=False" in str(error), error
    assert [model.id for model in client.models.list()] == ["all-MiniLM-L6-v2"]
    assert client.models.retrieve("all-MiniLM-L6-v2").id == "all-MiniLM-L6-v2"
    error_of(lambda: client.models.retrieve("gpt"), openai.NotFoundError)
    unauthorised = openai.OpenAI(base_url=f"{address}/v1", api_key="a-wrong-key", max_retries=0)
    error_of(unauthorised.models.list, openai.AuthenticationError)
    record_calls("openai", "embeddings.create (base64, float, dimensions, lists, token ids)", "models.list", "models.retrieve")


def langchain_openai_client(address):
    from langchain_openai import OpenAIEmbeddings

    options = {"base_url": f"{address}/v1", "api_key": READ, "model": "all-MiniLM-L6-v2"}
    embeddings = OpenAIEmbeddings(**options, check_embedding_ctx_length=False)
    assert len(embeddings.embed_query(TEXT)) == 384
    assert len(embeddings.embed_documents([TEXT] * 3)) == 3
    record_calls("langchain-openai", "OpenAIEmbeddings.embed_query", "embed_documents")


def hugging_face_client(address):
    from huggingface_hub import HfApi, InferenceClient
    from huggingface_hub.errors import HfHubHTTPError

    for url in [address, f"{address}/embed"]:
        client = InferenceClient(model=url, token=READ)
        vector = client.feature_extraction(TEXT)
        assert vector.shape == (1, 384) and abs(numpy.linalg.norm(vector) - 1) < 1e-5, vector.shape
        long = client.feature_extraction("word " * 2000, truncate=True, truncation_direction="left", normalize=True)
        assert long.shape == (1, 384)
        assert client.feature_extraction(TEXT, dimensions=32).shape == (1, 32)
        assert client.feature_extraction(TEXT, prompt_name="query").shape == (1, 384)
        error = error_of(lambda: client.feature_extraction("word " * 2000, truncate=False), HfHubHTTPError)
        assert error.response.status_code == 422, error
        error = error_of(lambda: client.feature_extraction(TEXT, prompt_name="clusters"), HfHubHTTPError)
        assert "prompt_name" in error.response.text, error
    api = HfApi(endpoint=address, token=READ)
    papers = list(api.list_papers(query=TEXT, limit=3))
    assert len(papers) == 3 and papers[0].title and papers[0].summary and papers[0].authors[0].name, papers
    dated = next(paper for paper in api.list_papers(query=TEXT, limit=100) if paper.published_at)
    day = dated.published_at.strftime("%Y-%m-%d")
    daily = list(api.list_daily_papers(date=day, limit=100))
    assert dated.id in [paper.id for paper in daily], (day, daily)
    assert list(api.list_daily_papers(date=day, p=1000)) == []
    assert error_of(lambda: list(api.list_daily_papers(date="2021-02-30")), HfHubHTTPError).response.status_code == 400
    record_calls("huggingface_hub", "InferenceClient.feature_extraction", "HfApi.list_papers", "list_daily_papers", "paper_info")


def hugging_face_client_without_key(address):
    from huggingface_hub import HfApi

    # paper_info sends no token, so it works only with a server that has no keys.
    api = HfApi(endpoint=address, token=False)
    paper = next(iter(api.list_papers(query=TEXT, limit=1)))
    assert api.paper_info(paper.id).title == paper.title


def langchain_hugging_face_client(address):
    from huggingface_hub import InferenceClient
    from langchain_huggingface import HuggingFaceEndpointEmbeddings

    embeddings = HuggingFaceEndpointEmbeddings(huggingfacehub_api_token=READ)
    # The constructor accepts only names of models on the hub, but InferenceClient also accepts a URL.
    embeddings.client = InferenceClient(model=address, token=READ)
    assert len(embeddings.embed_query(TEXT)) == 384
    # The client sends more texts in one request than text-embeddings-inference accepts. Likewise accepts all of them.
    assert len(embeddings.embed_documents([f"text {number}" for number in range(300)])) == 300
    info = json.loads(get(address, "/info"))
    assert info["max_client_batch_size"] >= 300 and info["model_id"] == "all-MiniLM-L6-v2", info
    record_calls("langchain-huggingface", "HuggingFaceEndpointEmbeddings.embed_query", "embed_documents (300 texts)", "GET /info")


def semantic_scholar_client(address):
    from semanticscholar import SemanticScholar
    from semanticscholar.SemanticScholarException import BadQueryParametersException, ObjectNotFoundException

    client = SemanticScholar(api_url=address, api_key=READ, retry=False)
    found = client.get_recommended_papers("ARXIV:9901.00001", limit=5)
    assert len(found) == 5 and all(paper.paperId and paper.title and paper.abstract for paper in found), found
    assert "9901.00001" not in [paper.paperId for paper in found]
    assert found[0].authors[0].name and found[0].year, found[0]
    positive, negative = ["ARXIV:9901.00001", "9901.00002"], [found[0].paperId]
    liked = client.get_recommended_papers_from_lists(positive, negative, fields=["title", "year"], limit=7)
    assert len(liked) == 7 and not {paper.paperId for paper in liked} & {"9901.00001", "9901.00002", found[0].paperId}
    paper = client.get_paper("DOI:10.5555/sample.0705")
    assert paper.title and paper.externalIds["DOI"] == "10.5555/sample.0705", paper.externalIds
    paper = client.get_paper("ARXIV:9901.00001", fields=["title", "embedding"])
    assert len(paper.embedding["vector"]) == 384 and paper.embedding["model"] == "all-MiniLM-L6-v2"
    ids = ["ARXIV:9901.00001", "ARXIV:2222.99999"]
    several, missing = client.get_papers(ids, fields=["title", "externalIds"], return_not_found=True)
    assert len(several) == 1 and missing == ["ARXIV:2222.99999"], (several, missing)
    error_of(lambda: client.get_paper("ARXIV:2222.99999"), ObjectNotFoundException)
    error_of(lambda: client.get_paper("ARXIV:9901.00001", fields=["titel"]), BadQueryParametersException)
    calls = ["get_recommended_papers", "get_recommended_papers_from_lists", "get_paper", "get_papers"]
    record_calls("semanticscholar", *calls)


def cohere_client(address):
    import cohere

    documents = ["Knots with equal volume", "Bees that count", "Tides of distant moons"]
    for client in [cohere.Client(api_key=READ, base_url=address), cohere.ClientV2(api_key=READ, base_url=address)]:
        response = client.rerank(model="any", query="insects and numbers", documents=documents, top_n=2)
        assert [result.index for result in response.results][0] == 1 and len(response.results) == 2, response
        assert 0 <= response.results[1].relevance_score <= response.results[0].relevance_score <= 1
    error_of(lambda: client.rerank(model="any", query="", documents=documents), cohere.errors.UnprocessableEntityError)
    record_calls("cohere", "Client.rerank (v1)", "ClientV2.rerank")


async def agent(client):
    """Calls every MCP tool, as an agent would. `client` must be connected."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"find_similar_papers", "get_paper", "embed_text", "index_info"}, tools
    assert all(tool.annotations.read_only_hint for tool in tools.values())
    arguments = {"text": TEXT, "k": 3, "date_from": "1990", "categories": []}
    found = (await client.call_tool("find_similar_papers", arguments)).structured_content
    assert len(found["hits"]) == 3 and "bee" in json.dumps(found).lower(), found
    first = found["hits"][0]["paper"]["id"]
    arguments = {"paper_ids": [first], "negative_ids": [found["hits"][2]["paper"]["id"]], "k": 2}
    similar = (await client.call_tool("find_similar_papers", arguments)).structured_content
    assert len(similar["hits"]) == 2 and first not in [hit["paper"]["id"] for hit in similar["hits"]], similar
    paper = (await client.call_tool("get_paper", {"paper_id": first})).structured_content
    assert paper["id"] == first and paper["abstract"], paper
    embedded = (await client.call_tool("embed_text", {"text": TEXT})).structured_content
    assert len(embedded["embedding"]) == 384, embedded.keys()
    info = (await client.call_tool("index_info", {})).structured_content
    assert info["papers"] == 120, info
    result = await client.call_tool("find_similar_papers", {"text": TEXT, "k": 0})
    assert result.is_error and "k must be between 1 and 100 (got 0)" in result.content[0].text, result


def mcp_client(address, data):
    import httpx2
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client

    async def over_http():
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {READ}"}) as http:
            async with Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client:
                await agent(client)

    async def over_stdio():
        parameters = StdioServerParameters(command=str(LIKEWISE), args=["mcp", "--data", data])
        async with Client(stdio_client(parameters)) as client:
            await agent(client)

    asyncio.run(over_http())
    asyncio.run(over_stdio())
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {READ}"}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for foreign in [{"Origin": "https://evil.example"}, {"Host": "papers.example"}]:
        response = httpx2.post(f"{address}/mcp", json=request, headers={**headers, **foreign})
        assert response.status_code == 403, (foreign, response.status_code, response.text)
    record_calls("mcp", "list_tools", "call_tool (all four, streamable HTTP and stdio)", "Origin and Host refused")


def tls_client():
    """Serves over HTTPS with a certificate that is made for this run, and connects with Python's ssl module, which
    verifies the certificate."""
    folder = pathlib.Path(tempfile.mkdtemp())
    certificate, key, authority = folder / "cert.pem", folder / "key.pem", trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    with serving("--tls-cert", certificate, "--tls-key", key, keys=False) as (address, _):
        assert address.startswith("https://"), address
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with urllib.request.urlopen(f"{address}/v1/stats", timeout=60, context=context) as answer:
            assert json.load(answer)["papers"] == 120
    swapped = [LIKEWISE, "serve", "--tls-cert", key, "--tls-key", certificate, "--listen", "127.0.0.1:0"]
    result = subprocess.run(swapped, capture_output=True, text=True)
    assert result.returncode == 1 and "key.pem" in result.stderr and "must be a certificate" in result.stderr, result.stderr
    table.append(("ssl", "Python " + sys.version.split()[0], "HTTPS with --tls-cert and --tls-key"))


def main():
    with serving() as (address, data):
        openai_client(address)
        langchain_openai_client(address)
        hugging_face_client(address)
        langchain_hugging_face_client(address)
        semantic_scholar_client(address)
        cohere_client(address)
        mcp_client(address, data)
    with serving(keys=False) as (address, _):
        hugging_face_client_without_key(address)
    tls_client()
    for package, version, calls in table:
        print(f"{package:24} {version:12} {calls}")


if __name__ == "__main__":
    main()
