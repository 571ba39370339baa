%% A supervisor of the random trees, made from the plan of a case.
-module(tree).
-behaviour(supervisor).
-export([start/4, init/1]).

start(Plan, Path, Owner, Refusals) ->
    supervisor:start_link(?MODULE, {Plan, Path, Owner, Refusals}).

init({{sup, _, Strategy, Intensity, Auto, _, Children}, Path, Owner, Refusals}) ->
    Numbered = lists:zip(lists:seq(0, length(Children) - 1), Children),
    Flags = #{strategy => Strategy, intensity => Intensity, period => 1000000, auto_shutdown => Auto},
    Specs = [spec(Plan, Path ++ "." ++ integer_to_list(N), Owner, Refusals, Auto) || {N, Plan} <- Numbered],
    {ok, {Flags, Specs}}.

spec({leaf, Restart, Slow, Significant}, Path, Owner, Refusals, Auto) ->
    #{id => Path, start => {leaf, start, [Path, Slow, Owner, Refusals]}, restart => Restart,
      shutdown => 300, significant => significant(Significant, Restart, Auto)};
spec({sup, Restart, _, _, _, Significant, _} = Plan, Path, Owner, Refusals, Auto) ->
    #{id => Path, start => {tree, start, [Plan, Path, Owner, Refusals]}, restart => Restart,
      shutdown => infinity, type => supervisor, significant => significant(Significant, Restart, Auto)}.

significant(Significant, Restart, Auto) ->
    Significant andalso Restart =/= permanent andalso Auto =/= never.
